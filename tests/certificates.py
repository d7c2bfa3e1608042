"""Certificates for tests of TLS, made by the machine's openssl."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest


def make(folder: Path, signed: Mapping[str, str]) -> Path:
    """Write ca.pem, and for each name ``<name>.pem`` and ``<name>.key`` that it signed for a subjectAltName (``DNS:localhost``)."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: it makes the certificates")

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test CA"
    )
    for name, subject in signed.items():
        (folder / "names").write_text(f"subjectAltName={subject}\n")
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "names",
        )  # fmt: skip
    return folder
