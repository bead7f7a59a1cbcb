"""What becomes an image of a page, and what does not."""

import base64
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.records import FieldValue
from tasks.report.pictures import QUERY_PIXELS, data_uri, query_picture, web_link
from tests.report.examples import coded, drawing


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_pictures_are_known_by_their_first_bytes(kind: str) -> None:
    picture = drawing(kind)
    assert data_uri(coded(picture)) == f"data:image/{kind.lower()};base64,{coded(picture)}"


def test_a_data_uri_and_broken_lines_are_taken() -> None:
    picture = drawing("PNG")
    expected = f"data:image/png;base64,{coded(picture)}"
    assert data_uri(f"data:image/jpeg;base64,{coded(picture)}") == expected
    assert data_uri(base64.encodebytes(picture).decode()) == expected


@pytest.mark.parametrize(
    "value",
    [None, "", 7, "https://a.test/b.png", "oss://a/b", "PHN2Zz48L3N2Zz4=", "%%%", "data:,x", "é"],
)
def test_anything_else_is_not_shown(value: FieldValue | None) -> None:
    assert data_uri(value) is None


@given(st.text())
def test_no_text_breaks_out_of_a_page(text: str) -> None:
    assert data_uri(text) is None
    assert web_link("javascript:" + text) is None


@pytest.mark.parametrize("value", ["https://a.test/b.png", "http://a.test/?q=1"])
def test_web_addresses_are_links(value: str) -> None:
    assert web_link(value) == value


@pytest.mark.parametrize(
    "value", ["javascript:alert(1)", "file:///a", "https://", "http://[", 3, None]
)
def test_other_addresses_are_not(value: FieldValue | None) -> None:
    assert web_link(value) is None


def test_a_query_picture_is_small_and_carries_no_camera_data() -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    out = io.BytesIO()
    Image.new("RGB", (3000, 2000), "red").save(out, "JPEG", exif=exif)
    uri = query_picture(out.getvalue())
    assert uri is not None
    small = base64.b64decode(uri.partition(",")[2])
    with Image.open(io.BytesIO(small)) as image:
        assert max(image.size) == QUERY_PIXELS
        assert not image.getexif()
    assert b"where I live" not in small


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_query_pictures_of_any_mode_are_shown(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (20, 10)).save(out, "TIFF" if mode == "CMYK" else "PNG")
    assert str(query_picture(out.getvalue())).startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize("picture", [b"", b"not a picture", drawing()[:400], drawing("PNG")[:60]])
def test_unreadable_query_pictures_are_left_out(picture: bytes) -> None:
    assert query_picture(picture) is None
