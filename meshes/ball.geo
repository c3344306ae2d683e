// Ball around the origin.
// Change a parameter in a run file (see README.md) or with `gmsh -setnumber radius 2 ball.geo`.
//
// The sphere is put together from eight octants: a sphere in one piece has poles, where bad triangles
// make Voronoi coefficients negative, and with them densities.

DefineConstant[
  radius = {1, Name "Parameters/radius"},
  h = {0.14, Name "Parameters/h (cell size)"},
  optimize = {0, Choices {0, 1}, Name "Parameters/optimize (gmsh's default 3D mesh)"}
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
For i In {0 : 3}
  Curve Loop(1 + i) = {1 + i, 5 + (i + 1) % 4, -(5 + i)};
  Surface(1 + i) = {1 + i} In Sphere {1};
  Curve Loop(5 + i) = {1 + i, 9 + (i + 1) % 4, -(9 + i)};
  Surface(5 + i) = {5 + i} In Sphere {1};
EndFor
Surface Loop(1) = {1 : 8};
Volume(1) = {1};

Mesh.MeshSizeMin = h;
Mesh.MeshSizeMax = h;

// Delaunay without optimisation, for the same reason: optimised tetrahedra have more negative coefficients.
If (optimize)
  Mesh.Algorithm3D = 1;
  Mesh.Optimize = 1;
Else
  Mesh.Algorithm3D = 10;
  Mesh.Optimize = 0;
EndIf
Mesh.OptimizeNetgen = 0;

Physical Volume("domain") = {1};
Physical Surface("boundary") = {1 : 8};
