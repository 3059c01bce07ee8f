"""The siRNA screen: stains of a well are its channels, and the gene comes from the folder's table."""

from pathlib import Path

import pytest

from storage.datasets.hela_sirna import layout
from storage.errors import DataError, MissingError

TABLE = "PlateName\tPlate\tWell\tContent\tGeneID\nP1\t1\tA03\tcontrol\tUBC\nP1\t1\tA05\tsample\tAAK1\n"
WELL = {"plate": "PK-10B-pl1", "replicate": 10, "well": "A05", "content": "sample", "gene": "AAK1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "annotation.txt").write_text(TABLE)
    return tmp_path


def test_paths_tell_plate_well_and_stain(folder: Path) -> None:
    describe = layout(folder).describe
    for stain, channel in (("Tritc", "actin"), ("FITC", "tubulin"), ("Hoechst", "DNA")):
        assert describe(f"source/PK-10B-pl1/Well-A005/{stain}.jpeg") == WELL | {"channel": channel}
    unknown = {"plate": "PK-11B-pl1", "replicate": 11, "well": "P24", "channel": "DNA"}
    assert describe("source/PK-11B-pl1/Well-P024/Hoechst.jpeg") == unknown
    assert describe("source/PK-10B-pl1/Well-A005/montage.jpeg") is None
    assert layout(folder).channels == ("actin", "tubulin", "DNA")


def test_a_folder_without_its_table_is_refused(folder: Path) -> None:
    (folder / "conf" / "annotation.txt").write_text(TABLE.replace("GeneID", "Gene"))
    with pytest.raises(DataError, match="GeneID"):
        layout(folder)
    (folder / "conf" / "annotation.txt").unlink()
    with pytest.raises(MissingError, match=r"annotation\.txt"):
        layout(folder)


def test_the_wells_of_the_published_screen(real_data: Path) -> None:
    folder = real_data / "hela_sirna"
    describe = layout(folder).describe
    found = [describe(path.relative_to(folder).as_posix()) for path in folder.rglob("*.jpeg")]
    wells = {(one["plate"], one["well"], one["content"], one["gene"]) for one in found if one}
    expected = {"A03": "UBC", "B03": "UBC", "C03": "RLUC", "D03": "RLUC", "A05": "AAK1", "B05": "PLK3"}
    assert len(found) == 36
    assert wells == {
        (plate, well, "control" if well.endswith("03") else "sample", gene)
        for plate in ("PK-10B-pl1", "PK-11B-pl1")
        for well, gene in expected.items()
    }
