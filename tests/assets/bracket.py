"""An angle bracket as a generated STEP file: an L of 60 × 40 mm, 8 mm thick and 30 mm wide, in one solid."""

from collections.abc import Sequence

PROFILE_MM = ((0.0, 0.0), (60.0, 0.0), (60.0, 8.0), (8.0, 8.0), (8.0, 40.0), (0.0, 40.0))
"""The L, counter-clockwise seen from the front."""
WIDTH_MM = 30.0

_HEADER = """ISO-10303-21;
HEADER;
FILE_DESCRIPTION(('angle bracket'),'2;1');
FILE_NAME('bracket.step','2026-01-01T00:00:00',(''),(''),'','','');
FILE_SCHEMA(('AUTOMOTIVE_DESIGN { 1 0 10303 214 1 1 1 1 }'));
ENDSEC;
DATA;
"""
_Point = tuple[float, float, float]


def bracket() -> bytes:
    """The whole file."""
    part = _Part()
    front = [(x, y, 0.0) for x, y in PROFILE_MM]
    back = [(x, y, WIDTH_MM) for x, y in PROFILE_MM]
    faces = [part.face(back, (0, 0, 1), (1, 0, 0)), part.face(front[::-1], (0, 0, -1), (1, 0, 0))]
    for number in range(len(front)):
        one, two = front[number], front[(number + 1) % len(front)]
        along = tuple((b > a) - (b < a) for a, b in zip(one, two, strict=True))
        corners = [one, two, back[(number + 1) % len(front)], back[number]]
        faces.append(part.face(corners, (along[1], -along[0], 0), (0, 0, 1)))
    part.finish(faces)
    return (_HEADER + "".join(part.lines) + "ENDSEC;\nEND-ISO-10303-21;\n").encode("ascii")


class _Part:
    """The numbered entities of the file; points, vertices and edges shared by faces are written once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._known: dict[str, int] = {}
        self._edges: dict[frozenset[_Point], tuple[int, _Point]] = {}

    def add(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = len(self.lines) + 1
            self.lines.append(f"#{len(self.lines) + 1}={text};\n")
        return self._known[text]

    def face(self, corners: Sequence[_Point], normal: Sequence[int], along: Sequence[int]) -> int:
        """A flat face; its corners run counter-clockwise seen from outside."""
        pairs = zip(corners, [*corners[1:], corners[0]], strict=True)
        edges = ",".join(f"#{self._oriented(one, two)}" for one, two in pairs)
        bound = self.add(f"FACE_OUTER_BOUND('',#{self.add(f'EDGE_LOOP({chr(39)}{chr(39)},({edges}))')},.T.)")
        place = f"AXIS2_PLACEMENT_3D('',#{self._point(corners[0])},#{self._way(normal)},#{self._way(along)})"
        plane = self.add(f"PLANE('',#{self.add(place)})")
        return self.add(f"ADVANCED_FACE('',(#{bound}),#{plane},.T.)")

    def finish(self, faces: Sequence[int]) -> None:
        """One solid of these faces, with the product structure and the unit millimetre."""
        shell = self.add(f"CLOSED_SHELL('',({','.join(f'#{face}' for face in faces)}))")
        solid = self.add(f"MANIFOLD_SOLID_BREP('bracket',#{shell})")
        place = f"AXIS2_PLACEMENT_3D('',#{self._point((0, 0, 0))},#{self._way((0, 0, 1))},#{self._way((1, 0, 0))})"
        length = self.add("(LENGTH_UNIT()NAMED_UNIT(*)SI_UNIT(.MILLI.,.METRE.))")
        angle = self.add("(NAMED_UNIT(*)PLANE_ANGLE_UNIT()SI_UNIT($,.RADIAN.))")
        solid_angle = self.add("(NAMED_UNIT(*)SI_UNIT($,.STERADIAN.)SOLID_ANGLE_UNIT())")
        exact = self.add(f"UNCERTAINTY_MEASURE_WITH_UNIT(LENGTH_MEASURE(1.E-07),#{length},'accuracy','')")
        world = self.add(
            "(GEOMETRIC_REPRESENTATION_CONTEXT(3)"
            f"GLOBAL_UNCERTAINTY_ASSIGNED_CONTEXT((#{exact}))"
            f"GLOBAL_UNIT_ASSIGNED_CONTEXT((#{length},#{angle},#{solid_angle}))REPRESENTATION_CONTEXT('',''))"
        )
        shape = self.add(f"ADVANCED_BREP_SHAPE_REPRESENTATION('bracket',(#{self.add(place)},#{solid}),#{world})")
        context = self.add("APPLICATION_CONTEXT('automotive design')")
        kind = self.add(f"PRODUCT_CONTEXT('',#{context},'mechanical')")
        product = self.add(f"PRODUCT('bracket','bracket','',(#{kind}))")
        formation = self.add(f"PRODUCT_DEFINITION_FORMATION('','',#{product})")
        stage = self.add(f"PRODUCT_DEFINITION_CONTEXT('part definition',#{context},'design')")
        definition = self.add(f"PRODUCT_DEFINITION('design','',#{formation},#{stage})")
        own_shape = self.add(f"PRODUCT_DEFINITION_SHAPE('','',#{definition})")
        self.add(f"SHAPE_DEFINITION_REPRESENTATION(#{own_shape},#{shape})")

    def _oriented(self, one: _Point, two: _Point) -> int:
        key = frozenset((one, two))
        if key not in self._edges:
            self._edges[key] = self._edge(one, two), one
        edge, start = self._edges[key]
        return self.add(f"ORIENTED_EDGE('',*,*,#{edge},{'.T.' if start == one else '.F.'})")

    def _edge(self, one: _Point, two: _Point) -> int:
        way = tuple((b > a) - (b < a) for a, b in zip(one, two, strict=True))
        vector = self.add(f"VECTOR('',#{self._way(way)},1.)")
        line = self.add(f"LINE('',#{self._point(one)},#{vector})")
        ends = [self.add(f"VERTEX_POINT('',#{self._point(corner)})") for corner in (one, two)]
        return self.add(f"EDGE_CURVE('',#{ends[0]},#{ends[1]},#{line},.T.)")

    def _point(self, corner: Sequence[float]) -> int:
        return self.add(f"CARTESIAN_POINT('',({','.join(f'{number:.1f}' for number in corner)}))")

    def _way(self, direction: Sequence[float]) -> int:
        return self.add(f"DIRECTION('',({','.join(f'{number:.1f}' for number in direction)}))")
