"""What each code of DashVector means for a client: try again, split, give up, or reject a document.

Codes 408 and -998 to -2999 are the SDK's `DashVectorCode`; 1 to 16 are gRPC's status numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

SUCCESS = 0
UNAVAILABLE = 14
CLOSED = -998
UNTRUSTED = -9001
"""Not the SDK's: the server's certificate is not trusted, for which gRPC says 14."""
NO_COLLECTION = -2021
NO_PARTITION = -2022
NO_KEY = -2024
COLLECTION_EXISTS = -2025
PARTITION_EXISTS = -2026
TOO_LARGE = -2970
FEW_ATTEMPTS = 3


_DISTRUST = re.compile(
    r"CERTIFICATE_VERIFY_FAILED(?:: ([a-zA-Z ]+))?|Hostname Verification Check failed"
    r"|[Pp]eer name \S+ is not in peer certificate"
)


class Remedy(Enum):
    """What to do about a code."""

    NONE = auto()
    RETRY = auto()
    RETRY_FEW = auto()
    REBUILD = auto()
    SPLIT = auto()
    REJECT = auto()
    QUERY = auto()
    STOP = auto()


_REMEDIES = {
    SUCCESS: Remedy.NONE,
    CLOSED: Remedy.REBUILD,
    -999: Remedy.RETRY_FEW,
    # a collection or partition just created may not be known everywhere yet
    NO_COLLECTION: Remedy.RETRY_FEW,
    NO_PARTITION: Remedy.RETRY_FEW,
    TOO_LARGE: Remedy.SPLIT,
    **dict.fromkeys((408, -2034, -2029, -2030, 14, 4, 8, 1, 2, 13), Remedy.RETRY),
    # what is wrong with a document: the others of its batch may be right
    **dict.fromkeys((-2004, -2006, -2008, -2011, -2012, -2016, -2017, -2019), Remedy.REJECT),
    **dict.fromkeys((-2020, -2023, -2028, -2035, -2044, -2951, -2968), Remedy.REJECT),
    **dict.fromkeys((-2009, -2015, -2031, -2039, -2041, -2053), Remedy.QUERY),
}

_ADVICE = {
    3: "the request is malformed",
    4: "no answer in time",
    7: "the API key may not do this: check DASHVECTOR_API_KEY",
    8: "out of resources",
    12: "the endpoint does not speak this protocol: check DASHVECTOR_ENDPOINT",
    14: "the service cannot be reached: check the network and DASHVECTOR_ENDPOINT",
    16: "the API key was refused: check DASHVECTOR_API_KEY",
    UNTRUSTED: "the certificate of DASHVECTOR_ENDPOINT is not trusted (a proxy of the company "
    "between? give the file of its root as DASHVECTOR_ROOTS)",
    408: "no answer in time",
    -998: "the client is closed",
    -2021: "there is no such collection",
    -2022: "there is no such partition",
    -2029: "the partition is not ready",
    -2030: "the collection is not ready",
    -2034: "too many requests a second",
    -2952: "DASHVECTOR_ENDPOINT is not a host name: give it without a scheme, port or path",
    -2970: "the request is larger than 2 MiB",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A code that is not success, and the message that came with it."""

    code: int
    message: str

    @property
    def remedy(self) -> Remedy:
        """What to do about it."""
        return remedy(self.code)

    def __str__(self) -> str:
        advice = _ADVICE.get(self.code)
        parts = [part for part in (advice, " ".join(self.message.split())) if part]
        return f"{': '.join(parts) or 'no reason given'} (code {self.code})"


def untrusted(details: str) -> str:
    """What is wrong with a certificate by the details of a failure to connect; "" if nothing is."""
    match = _DISTRUST.search(details)
    return "" if match is None else (match[1] or match[0]).strip()


def normalise(code: object) -> int:
    """A code as int: the SDK gives an int, an enum, or, from a gRPC trailer, a string.

    What is none of these is -999 (unknown).
    """
    try:
        return int(code)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        return -999


def remedy(code: int) -> Remedy:
    """What to do about a code; unknown codes stop the run."""
    return _REMEDIES.get(code, Remedy.STOP)
