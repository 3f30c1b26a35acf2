"""The API's writes: create, change and delete one object, by compare-and-swap on the store.

Each goes through the same steps: place, metadata, defaults, checks, who may, store. The HTTP layer
above parses and prints; the store below knows nothing of Kubernetes but the resource version.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from chita.errors import ConflictError
from chita.model.kinds import Kind, known_kind
from chita.server import admission, authorization, builtin, defaults, metadata, ownership, status
from chita.server.ownership import Operation
from chita.server.request import Part
from chita.server.users import SERVER, User
from chita.store.store import Key, Object, Store, Stored

if TYPE_CHECKING:
    from chita.server.admission import Validate
    from chita.server.apply import Apply
    from chita.server.service_address import ServiceAddresses

ATTEMPTS = 20  # of a change that names no revision and loses to other writers
Change = Callable[[Object], Object]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a write is asked for."""

    user: User = SERVER
    part: Part = Part.OBJECT
    dry_run: bool = False
    manager: str = "unknown"
    operation: Operation = Operation.UPDATE


class Preconditions(msgspec.Struct, frozen=True):
    """What must hold for a deletion; empty fields ask nothing."""

    uid: str = ""
    resource_version: str = ""


class Deleted(msgspec.Struct, frozen=True):
    """The object's last state, and whether it still waits for its finalizers."""

    stored: Stored
    is_waiting: bool


class Registry:
    """The objects of all kinds, with the rules of the API conventions."""

    def __init__(self, store: Store, validate: Validate, addresses: ServiceAddresses) -> None:
        self.store = store
        self._validate = validate
        self._addresses = addresses

    def get(self, kind: Kind, namespace: str, name: str) -> Stored:
        """Return an object.

        Raises:
            RefusedError: 404.
        """
        stored = self.store.get(Key(kind.resource, namespace, name))
        if stored is None:
            raise status.not_found(kind, name)
        return stored

    async def create(
        self, kind: Kind, namespace: str, value: Object, options: Options, name: str = ""
    ) -> Stored:
        """Store a new object.

        Raises:
            RefusedError: 400, 403, 404 (namespace), 409 (taken) or 422.
        """
        value = metadata.check_shape(kind, value)
        metadata.check_place(kind, value, namespace, name)
        self._check_namespace(kind, namespace, value["metadata"].get("name") or "")
        metadata.for_create(kind, value, datetime.now(UTC))
        if options.operation is Operation.UPDATE:
            value = ownership.with_managers(value, ())
        value = defaults.filled(kind, value)
        name = value["metadata"].get("name") or ""
        self._check(kind, name, value)
        authorization.check_object(options.user, kind, None, value)
        key = Key(kind.resource, namespace, name)
        if self.store.get(key) is not None:
            raise status.already_exists(kind, name)
        with self._addresses.assigned(self.store, kind, None, value):
            if options.dry_run:
                return _unstored(key, value)
            try:
                stored = await self.store.create(key, value)
            except ConflictError as error:
                raise status.already_exists(kind, name) from error
        if kind.resource == "namespaces":
            await self._create_service_account(name)
        return stored

    async def change(
        self, kind: Kind, namespace: str, name: str, change: Change, options: Options
    ) -> Stored:
        """Replace an object with what *change* makes of it (a copy that it may alter).

        A lost race is run again; what names a ``resourceVersion`` is then refused.

        Raises:
            RefusedError: 404, 403, 409 or 422, or what *change* raises.
        """
        for _ in range(ATTEMPTS):
            stored = self.get(kind, namespace, name)
            old = stored.copy()
            asked = change(stored.copy())
            self._precheck(kind, namespace, name, asked, stored)
            new = metadata.for_update(kind, old, asked, options.part)
            new = defaults.filled(kind, new)
            if options.operation is Operation.UPDATE:
                new = ownership.track(kind, old, new, manager=options.manager, part=options.part)
            self._check(kind, name, new)
            authorization.check_object(options.user, kind, old, new)
            with self._addresses.assigned(self.store, kind, old, new):
                if new == old:
                    return stored
                if options.dry_run:
                    return _unstored(stored.key, new)
                with suppress(ConflictError):
                    return await self._store(kind, stored, new)
        raise status.conflict(kind, name)

    async def apply(
        self, namespace: str, name: str, wish: Apply, options: Options
    ) -> tuple[Stored, bool]:
        """Apply a manager's wish; return the object, and whether it is new.

        Raises:
            RefusedError: 400, 403, 404 (namespace, or a status of nothing), 409 or 422.
        """
        config = metadata.check_shape(wish.kind, wish.config)
        metadata.check_place(wish.kind, config, namespace, name)
        if config["metadata"].get("managedFields"):
            raise status.bad_request("metadata.managedFields must be nil")
        key = Key(wish.kind.resource, namespace, name)
        if self.store.get(key) is None and options.part is Part.OBJECT:
            try:
                return await self.create(wish.kind, namespace, wish.created(), options, name), True
            except status.RefusedError as error:
                if error.reason != "AlreadyExists":
                    raise
        return await self.change(wish.kind, namespace, name, wish.applied, options), False

    async def delete(
        self, kind: Kind, namespace: str, name: str, asked: Preconditions, options: Options
    ) -> Deleted:
        """Delete an object, or mark it when it has finalizers.

        Raises:
            RefusedError: 404, 403, 409.
        """
        for _ in range(ATTEMPTS):
            stored = self.get(kind, namespace, name)
            self._check_delete(kind, stored, asked, options)
            if options.dry_run:
                return Deleted(stored, is_waiting=False)
            with suppress(ConflictError):
                if kind.resource == "namespaces":
                    return await self._delete_namespace(kind, stored)
                return await self._delete(kind, stored)
        raise status.conflict(kind, name)

    async def create_built_in(self) -> None:
        """Make the objects that are always there, where they are not."""
        for kind, value in builtin.objects():
            name = value["metadata"]["name"]
            if self.store.get(Key(kind.resource, "", name)) is None:
                await self.create(kind, "", value, Options())
        for namespace in self.store.list("namespaces").items:
            # A crash may have come between the namespace and its account.
            await self._create_service_account(namespace.key.name)

    def _precheck(
        self, kind: Kind, namespace: str, name: str, asked: Object, stored: Stored
    ) -> None:
        """Check place, uid and revision of a change."""
        asked = metadata.check_shape(kind, asked)
        metadata.check_place(kind, asked, namespace, name)
        before = stored.object["metadata"]
        wanted = asked["metadata"].get("resourceVersion") or ""
        if wanted and wanted != str(stored.revision):
            raise status.conflict(kind, name)
        uid = asked["metadata"].get("uid")
        if uid and uid != before.get("uid"):
            raise status.conflict(
                kind,
                name,
                f"Precondition failed: UID in precondition: {uid}, "
                f"UID in object meta: {before.get('uid')}",
            )

    def _check(self, kind: Kind, name: str, value: Object) -> None:
        found = admission.problems(value) or list(self._validate(value))
        if found:
            raise status.invalid(kind, name, found)

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.is_namespaced:
            return
        stored = self.store.get(Key("namespaces", "", namespace))
        if stored is None:
            raise status.not_found(known_kind("v1", "Namespace"), namespace)
        if stored.object["metadata"].get("deletionTimestamp"):
            raise status.forbidden(
                kind,
                name,
                f"unable to create new content in namespace {namespace} because it is being "
                "terminated",
            )

    def _check_delete(
        self, kind: Kind, stored: Stored, asked: Preconditions, options: Options
    ) -> None:
        name, found = stored.key.name, stored.object["metadata"]
        if asked.uid and asked.uid != found.get("uid"):
            raise status.conflict(
                kind,
                name,
                f"Precondition failed: UID in precondition: {asked.uid}, "
                f"UID in object meta: {found.get('uid')}",
            )
        if asked.resource_version and asked.resource_version != str(stored.revision):
            raise status.conflict(kind, name)
        authorization.check_object(options.user, kind, stored.object, None)
        if builtin.is_built_in(kind, name):
            raise status.forbidden(kind, name, builtin.STAYS)
        if kind.resource == builtin.TIER and (holder := self._policy_in(name)):
            raise status.forbidden(kind, name, builtin.holds(holder))

    def _policy_in(self, tier: str) -> str:
        for resource in builtin.TIERED:
            for stored in self.store.list(resource).items:
                if stored.object.get("spec", {}).get("tier") == tier:
                    return f"{resource} {stored.key.namespace}/{stored.key.name}"
        return ""

    async def _store(self, kind: Kind, stored: Stored, new: Object) -> Stored:
        """Write *new*, or remove it when it was only waiting for its last finalizer."""
        found = new["metadata"]
        if not found.get("deletionTimestamp") or found.get("finalizers"):
            return await self.store.update(stored.key, new, expected=stored.revision)
        if kind.resource == "namespaces" and not self._is_empty(stored.key.name):
            return await self.store.update(stored.key, new, expected=stored.revision)
        last = await self.store.delete(stored.key, expected=stored.revision)
        await self._finish_namespace(stored.key.namespace)
        return last

    async def _delete(self, kind: Kind, stored: Stored) -> Deleted:
        found = stored.object["metadata"]
        if not found.get("finalizers"):
            last = await self.store.delete(stored.key, expected=stored.revision)
            await self._finish_namespace(stored.key.namespace)
            return Deleted(last, is_waiting=False)
        return Deleted(await self._mark_deleted(kind, stored), is_waiting=True)

    async def _mark_deleted(self, kind: Kind, stored: Stored) -> Stored:
        if stored.object["metadata"].get("deletionTimestamp"):
            return stored
        new = stored.copy()
        new["metadata"]["deletionTimestamp"] = metadata.timestamp(datetime.now(UTC))
        new["metadata"]["deletionGracePeriodSeconds"] = 0
        if kind.resource == "namespaces":
            new["status"] = {**(new.get("status") or {}), "phase": "Terminating"}
        return await self.store.update(stored.key, new, expected=stored.revision)

    async def _delete_namespace(self, kind: Kind, stored: Stored) -> Deleted:
        """Mark the namespace, delete what is in it, then it; some of it may have finalizers."""
        name = stored.key.name
        marked = await self._mark_deleted(kind, stored)
        for held in self._namespaced():
            for item in self.store.list(held.resource, name).items:
                try:
                    await self._delete(held, item)
                except ConflictError:  # it changed meanwhile: the next round takes it
                    continue
        await self._finish_namespace(name)
        still = self.store.get(stored.key)
        return Deleted(still or marked, is_waiting=still is not None)

    async def _finish_namespace(self, name: str) -> None:
        """Remove a namespace that was only waiting for its content."""
        stored = self.store.get(Key("namespaces", "", name)) if name else None
        if stored is None or not stored.object["metadata"].get("deletionTimestamp"):
            return
        if stored.object["metadata"].get("finalizers") or not self._is_empty(name):
            return
        try:
            await self.store.delete(stored.key, expected=stored.revision)
        except ConflictError:  # somebody else finished it
            return

    def _is_empty(self, namespace: str) -> bool:
        return not any(self.store.list(k.resource, namespace).items for k in self._namespaced())

    @staticmethod
    def _namespaced() -> list[Kind]:
        return builtin.NAMESPACED

    async def _create_service_account(self, namespace: str) -> None:
        """Make the account that pods have which name none, as Kubernetes' controller does."""
        kind = known_kind("v1", "ServiceAccount")
        account = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": "default"},
        }
        try:
            await self.create(kind, namespace, account, Options())
        except status.RefusedError as error:
            if error.reason not in {"AlreadyExists", "NotFound", "Forbidden"}:
                raise


def _unstored(key: Key, value: Object) -> Stored:
    """Return what a dry run answers: the object as it would be, at no revision."""
    value["metadata"].pop("resourceVersion", None)
    return Stored(key, 0, msgspec.json.encode(value), value)
