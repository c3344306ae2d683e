// Two disks on the x axis joined by a straight channel, symmetric about the origin.
//
//     .---.            .---.
//    (     )==========(     )   } width
//     `---´            `---´
//       |<-- distance -->|        between the centres
//
// Change a parameter in a run file (see README.md) or with `gmsh -setnumber width 0.2 dumbbell.geo`.
SetFactory("OpenCASCADE");

DefineConstant[
  radius = {1, Name "Parameters/radius"},
  distance = {3, Name "Parameters/distance"},
  width = {0.4, Name "Parameters/width"},
  h = {0.07, Name "Parameters/h (cell size)"}
];

If (radius <= 0 || h <= 0 || h > 2 * radius)
  Error("radius and h must be positive, and h at most 2 radius");
EndIf
If (distance <= 2 * radius)
  Error("distance must be larger than 2 radius, or the disks overlap");
EndIf
If (width <= 0 || width >= 2 * radius)
  Error("width must lie between 0 and 2 radius");
EndIf

Disk(1) = {-distance / 2, 0, 0, radius};
Disk(2) = {distance / 2, 0, 0, radius};
Rectangle(3) = {-distance / 2, -width / 2, 0, distance, width};
domain() = BooleanUnion{ Surface{1}; Delete; }{ Surface{2, 3}; Delete; };

Mesh.MeshSizeMin = h;
Mesh.MeshSizeMax = h;

Physical Surface("domain") = {domain()};
Physical Curve("boundary") = Abs(CombinedBoundary{ Surface{domain()}; });
