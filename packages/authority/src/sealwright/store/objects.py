"""A bucket of an object store as a `FileStore`: S3 and its like, Google Cloud Storage, Azure Blobs.

By obstore (extra `objects`), which signs, retries and verifies; nothing of that is done here. May never read
the credentials of anybody but the operator who named their file, nor write them anywhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from sealwright.errors import Misconfigured, Unavailable
from sealwright.files import read_private

TIMEOUT = "30s"
RETRIES = 3
PATIENCE = timedelta(seconds=60)


class Bucket:
    """Objects below a URL such as `s3://bucket/prefix`."""

    def __init__(self, url: str, access: Path | None = None) -> None:
        """Nothing is asked of the store yet.

        Args:
            url: where; its scheme says what kind of store it is.
            access: a private TOML file of what the store is to be reached with: names as obstore has them,
                for example `aws_access_key_id`, `aws_secret_access_key`, `aws_region`, `aws_endpoint`. None:
                as the host is known to the cloud (instance roles and the like).

        Raises:
            Misconfigured: obstore is not installed, or takes neither URL nor file.
        """
        self._url = url.rstrip("/")
        self._obstore = _library()
        settings = _settings(access) if access is not None else {}
        plain = {"allow_http": settings.get("aws_endpoint", "").startswith("http://")}
        try:
            self._store = self._obstore.store.from_url(
                self._url,
                config=settings,
                client_options={"timeout": TIMEOUT, **plain},
                retry_config={"max_retries": RETRIES, "retry_timeout": PATIENCE},
            )
        except (self._obstore.exceptions.BaseError, ValueError, TypeError) as error:
            raise Misconfigured("cold_storage", f"{self._url} is no object store", str(error)) from error

    def __str__(self) -> str:
        return self._url

    def read(self, name: str) -> bytes | None:
        """See the port."""
        try:
            return bytes(self._obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            return None
        except self._errors as error:
            raise self._unavailable(name, error) from error

    def write(self, name: str, data: bytes) -> None:
        """See the port. An object is stored as a whole, and durably, or not at all."""
        try:
            self._obstore.put(self._store, name, data)
        except self._errors as error:
            raise self._unavailable(name, error) from error

    def remove(self, name: str) -> None:
        """See the port."""
        try:
            self._obstore.delete(self._store, name)
        except FileNotFoundError:
            return
        except self._errors as error:
            raise self._unavailable(name, error) from error

    def names(self, folder: str) -> Iterator[str]:
        """See the port."""
        try:
            for part in self._obstore.list(self._store, folder):
                yield from (found["path"] for found in part)
        except self._errors as error:
            raise self._unavailable(folder, error) from error

    def folders(self) -> list[str]:
        """See the port."""
        try:
            found = self._obstore.list_with_delimiter(self._store)
        except self._errors as error:
            raise self._unavailable("", error) from error
        return sorted(found["common_prefixes"])

    @property
    def _errors(self) -> tuple[type[Exception], ...]:
        return (self._obstore.exceptions.BaseError, OSError)

    def _unavailable(self, name: str, error: Exception) -> Unavailable:
        return Unavailable("cold_storage", f"{self._url}/{name} cannot be reached now", str(error))


def _library() -> Any:
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError as error:
        text = "an object store as cold storage needs obstore: install sealwright[objects]"
        raise Misconfigured("no_obstore", text) from error
    return obstore


def _settings(access: Path) -> dict[str, str]:
    try:
        found = tomllib.loads(read_private(access).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured("cold_storage", f"{access} is no TOML file", str(error)) from error
    if not all(isinstance(value, str) for value in found.values()):
        raise Misconfigured("cold_storage", f"every value in {access} is a string")
    return found
