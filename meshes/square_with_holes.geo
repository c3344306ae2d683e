// Square [0, side]^2 with a regular grid of holes x holes circular holes.
// Change a parameter in a run file (see README.md) or with `gmsh -setnumber holes 3 square_with_holes.geo`.
SetFactory("OpenCASCADE");

DefineConstant[
  side = {1, Name "Parameters/side"},
  holes = {4, Name "Parameters/holes (per side)"},
  hole_radius = {0.06, Name "Parameters/hole_radius"},
  h = {0.02, Name "Parameters/h (cell size)"}
];

If (side <= 0 || h <= 0 || h > side)
  Error("side and h must be positive, and h at most side");
EndIf
If (holes < 1 || holes != Round(holes))
  Error("holes must be a whole number, at least 1");
EndIf
If (hole_radius <= 0 || 2 * hole_radius * holes >= side)
  Error("hole_radius must lie between 0 and side / (2 holes), or the holes touch");
EndIf

// Each hole sits in the middle of its square of the grid.
pitch = side / holes;
Rectangle(1) = {0, 0, 0, side, side};
For i In {0 : holes - 1}
  For j In {0 : holes - 1}
    Disk(2 + i * holes + j) = {(i + 0.5) * pitch, (j + 0.5) * pitch, 0, hole_radius};
  EndFor
EndFor
domain() = BooleanDifference{ Surface{1}; Delete; }{ Surface{2 : 1 + holes * holes}; Delete; };

Mesh.MeshSizeMin = h;
Mesh.MeshSizeMax = h;

Physical Surface("domain") = {domain()};
Physical Curve("boundary") = Abs(Boundary{ Surface{domain()}; });
