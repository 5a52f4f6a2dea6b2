"""Designs: what is kept, what it follows from, and when it ends."""


def test_every_glass_is_within_the_tolerance_and_different(designs):
    design = designs.run()
    print(design.ending, design.table.T.to_string())
    assert design.complete, design.ending
    assert len(design.frames) == 4
    print(design.ending, design.table.T.to_string())
