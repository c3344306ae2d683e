// Disk around the origin.
// Change a parameter in a run file (see README.md) or with `gmsh -setnumber radius 2 disk.geo`.
SetFactory("OpenCASCADE");

DefineConstant[
  radius = {1, Name "Parameters/radius"},
  h = {0.05, Name "Parameters/h (cell size)"}
];

If (radius <= 0 || h <= 0 || h > 2 * radius)
  Error("radius and h must be positive, and h at most 2 radius");
EndIf

Disk(1) = {0, 0, 0, radius};

Mesh.MeshSizeMin = h;
Mesh.MeshSizeMax = h;

Physical Surface("domain") = {1};
Physical Curve("boundary") = Boundary{ Surface{1}; };
