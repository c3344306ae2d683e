// The whole space: a ball around the origin for the densities, and a shell around it that stands for the rest of
// space, with its outer sphere at infinity.
// Change a parameter in a run file (see README.md) or with `gmsh -setnumber radius 2 space.geo`.
//
// The sphere is put together from eight octants: a sphere in one piece has poles, where bad triangles
// make Voronoi coefficients negative, and with them densities.

DefineConstant[
  radius = {1, Name "Parameters/radius"},
  h = {0.14, Name "Parameters/h (cell size in the ball)"}
];

If (radius <= 0 || h <= 0 || h > 2 * radius)
  Error("radius and h must be positive, and h at most 2 radius");
EndIf

Point(1) = {0, 0, 0};
Point(2) = {radius, 0, 0};
Point(3) = {0, radius, 0};
Point(4) = {-radius, 0, 0};
Point(5) = {0, -radius, 0};
Point(6) = {0, 0, radius};
Point(7) = {0, 0, -radius};

// The equator, then the meridians from each of its four points to the top (5-8) and to the bottom (9-12).
For i In {0 : 3}
  Circle(1 + i) = {2 + i, 1, 2 + (i + 1) % 4};
  Circle(5 + i) = {2 + i, 1, 6};
  Circle(9 + i) = {2 + i, 1, 7};
EndFor
// All octants look outwards, so that the shell grows outwards.
For i In {0 : 3}
  Curve Loop(1 + i) = {1 + i, 5 + (i + 1) % 4, -(5 + i)};
  Surface(1 + i) = {1 + i} In Sphere {1};
  Curve Loop(5 + i) = {1 + i, 9 + (i + 1) % 4, -(9 + i)};
  Surface(5 + i) = {-(5 + i)} In Sphere {1};
EndFor
Surface Loop(1) = {1 : 8};
Volume(1) = {1};

Mesh.MeshSizeMin = h;
Mesh.MeshSizeMax = h;

// The shell, from the sphere to 1.5 radius: layers of cells between spheres, thicker than the cells of the ball. The
// accuracy at infinity rests on them. Each octant grows into a top, a volume and three sides.
layers = Ceil(0.5 * radius / (1.5 * h));
grown[] = Extrude { Surface{1 : 8}; Layers{layers, 0.5 * radius}; };
For i In {0 : 7}
  infinity[] += {grown[5 * i]};
  shell[] += {grown[5 * i + 1]};
EndFor

// Delaunay without optimisation: optimised tetrahedra have more negative coefficients.
Mesh.Algorithm3D = 10;
Mesh.Optimize = 0;
Mesh.OptimizeNetgen = 0;

Physical Volume("ball") = {1};
Physical Volume("shell") = {shell[]};
Physical Surface("infinity") = {infinity[]};
