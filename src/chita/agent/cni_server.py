"""Answers CNI calls on a node: ADD, DEL, CHECK, STATUS and GC behind the agent's socket.

The order of an ADD (docs/design/cni.md): record, addresses, then interface, policy and pod status
at the same time, then the record again. The interface may be up before its policy: traffic of an
interface that the ruleset does not know is dropped. A DEL goes the other way: interface, endpoint
and addresses, record.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from chita.agent.attachments import Attachment, AttachmentKey, Attachments, AttachmentState
from chita.agent.cni_answers import add_result, answer_version, attachment_key, pod_interface
from chita.agent.cni_ports import Addresses, ClusterFacts, Endpoints, PodFacts
from chita.agent.pod_links import PodLinks
from chita.cni.errors import CniError, ErrorCode, error_json
from chita.cni.spec import CniCall, Command, PodName, Result, parse_call, result_json
from chita.errors import (
    ApiError,
    ChitaError,
    ConflictError,
    ExhaustedError,
    InputError,
    KernelError,
)
from chita.ipam.allocator import AssignRequest
from chita.ipam.handle import pod_handle
from chita.ipam.pools import Place, Wish, chosen, wish
from chita.model.endpoint import interface_name
from chita.rpc.messages import CniAnswer, CniRequest
from chita.telemetry.log import logger

_LOG = logger("cni")


class CniSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How CNI calls are answered."""

    node: str
    add_timeout_s: float = 60
    """An ADD that takes longer is undone and answered with "try again later"."""


class CniService:
    """The calls of one node; `answer` is what the agent's socket is given."""

    def __init__(  # noqa: PLR0913 - the parts of a node that an ADD touches
        self,
        settings: CniSettings,
        *,
        attachments: Attachments,
        addresses: Addresses,
        cluster: ClusterFacts,
        endpoints: Endpoints,
        links: PodLinks,
    ) -> None:
        self._settings = settings
        self._attachments = attachments
        self._addresses = addresses
        self._cluster = cluster
        self._endpoints = endpoints
        self._links = links
        self._calls: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._finishing: set[asyncio.Task[None]] = set()

    async def answer(self, request: CniRequest) -> CniAnswer:
        """Return what the shim prints for *request*; every failure is an error object."""
        version = answer_version(request.config)
        try:
            call = parse_call(request.environment, request.config)
            return CniAnswer(0, await self._dispatch(call))
        except CniError as error:
            failure = error
        except (ApiError, ConflictError, ExhaustedError, TimeoutError) as error:
            text = str(error) or f"not done within {self._settings.add_timeout_s:g} s"
            failure = CniError(ErrorCode.TRY_AGAIN_LATER, text)
        except KernelError as error:
            failure = CniError(ErrorCode.KERNEL, str(error))
        except InputError as error:
            failure = CniError(ErrorCode.INVALID_ANNOTATION, str(error))
        except ChitaError as error:
            failure = CniError(ErrorCode.TRY_AGAIN_LATER, str(error))
        command = request.environment.get("CNI_COMMAND", "")
        _LOG.warning("cni call failed", command=command, code=int(failure.code), why=str(failure))
        return CniAnswer(1, error_json(failure, version))

    async def settle(self) -> None:
        """Finish what an earlier agent, or an API that did not answer, left half done.

        Called once the cluster is in sync, before the socket opens, and now and then afterwards.

        Raises:
            ApiError: the API does not answer; what is left stays recorded.
        """
        for record in self._attachments:
            async with self._alone(record.key.container):
                now = self._attachments.get(record.key)
                if now is not None and now.state is not AttachmentState.ATTACHED:
                    await self._take_down(now)
                    await self._release(now)

    async def drain(self) -> None:
        """Wait until what follows finished calls in the background is done."""
        while self._finishing:
            await asyncio.wait(self._finishing)

    async def _dispatch(self, call: CniCall) -> bytes:
        match call.command:
            case Command.ADD:
                async with self._alone(call.container), self._in_time():
                    return result_json(await self._add(call), call.config.version)
            case Command.DEL:
                async with self._alone(call.container):
                    await self._delete(call)
            case Command.CHECK:
                async with self._alone(call.container):
                    await self._check(call)
            case Command.STATUS:
                unready = self._cluster.unready()
                if unready is not None:
                    raise CniError(unready.code, unready.reason)
            case Command.GC:
                await self._collect(call)
        return b""

    async def _add(self, call: CniCall) -> Result:
        key = attachment_key(call)
        known = self._attachments.get(key)
        if known is not None and known.state is AttachmentState.ATTACHED:
            return await self._add_again(call, known)
        if known is not None:
            await self._take_down(known)
            await self._release(known)
        if not await asyncio.to_thread(Path(call.netns).exists):
            raise CniError(ErrorCode.INVALID_ENVIRONMENT, f"CNI_NETNS {call.netns} does not exist")
        pod = call.pod or PodName(namespace="default", name=call.container.lower())
        facts = await self._facts(call, pod)
        record = Attachment(
            key=key,
            handle=pod_handle(key.network, key.container, key.interface),
            namespace=pod.namespace,
            pod=pod.name,
            uid=facts.uid,
            netns=call.netns,
            host_interface=interface_name(pod.namespace, pod.name),
            mtu_bytes=call.config.mtu_bytes or self._cluster.pod_mtu_bytes(),
            state=AttachmentState.ADDING,
        )
        self._refuse_second(record)
        request = self._request(call, record, facts)
        self._attachments.put(record)
        try:
            assigned = await self._addresses.assign(request)
            record = msgspec.structs.replace(record, address_texts=tuple(map(str, assigned)))
            await self._bring_up(record)
            record = msgspec.structs.replace(record, state=AttachmentState.ATTACHED)
            self._attachments.put(record)
        except BaseException:
            await self._undo(record)
            raise
        _LOG.info("pod attached", pod=record.endpoint, addresses=record.address_texts)
        return add_result(call, record)

    async def _add_again(self, call: CniCall, known: Attachment) -> Result:
        """Answer a repeated ADD as the first time, with the interface as it was then.

        The specification forbids the runtime to do it; one that lost our answer does.
        """
        if known.netns != call.netns:
            raise CniError(
                ErrorCode.INVALID_ENVIRONMENT,
                f"CNI_NETNS {call.netns}: {call.interface} of container {call.container} is "
                f"already attached in {known.netns}; call DEL first",
            )
        await self._bring_up(known)
        return add_result(call, known)

    def _refuse_second(self, record: Attachment) -> None:
        """Refuse a second interface of one sandbox: both would have the same device's name."""
        for other in self._attachments.sharing(record):
            if other.key.container == record.key.container:
                raise CniError(
                    ErrorCode.INVALID_ENVIRONMENT,
                    f"CNI_IFNAME {record.key.interface}: pod {record.endpoint} has "
                    f"{other.key.interface} of network {other.key.network} already; "
                    "use another plugin for further interfaces",
                )

    async def _facts(self, call: CniCall, pod: PodName) -> PodFacts:
        if call.pod is None:
            return PodFacts()
        facts = await self._cluster.pod(pod.namespace, pod.name)
        if facts is None:
            raise CniError(
                ErrorCode.TRY_AGAIN_LATER, f"pod {pod.namespace}/{pod.name} is not in the API (yet)"
            )
        if pod.uid and facts.uid and pod.uid != facts.uid:
            raise CniError(
                ErrorCode.TRY_AGAIN_LATER,
                f"pod {pod.namespace}/{pod.name} has uid {facts.uid} in the API, "
                f"the runtime asks for {pod.uid}: one of them is of an earlier pod",
            )
        return facts

    def _request(self, call: CniCall, record: Attachment, facts: PodFacts) -> AssignRequest:
        """Return what to ask the allocator for.

        Raises:
            ExhaustedError: no pool may be used here.
        """
        configured = Wish(families=call.config.families, pools=call.config.pools)
        asked = wish(facts.annotations, facts.namespace_annotations, configured)
        place = Place(
            node_labels=self._cluster.node_labels(), namespace_labels=facts.namespace_labels
        )
        try:
            pools = chosen(self._cluster.pools(), asked, place)
        except ExhaustedError as error:
            unready = self._cluster.unready()
            why = unready.reason if unready else str(error)
            raise ExhaustedError(f"{record.endpoint} on {self._settings.node}: {why}") from error
        attributes = {"node": self._settings.node, "timestamp": self._cluster.timestamp()}
        if call.pod is not None:
            attributes |= {"pod": record.pod, "namespace": record.namespace}
        return AssignRequest(
            handle=record.handle,
            attributes=attributes,
            pools=pools,
            addresses=asked.addresses,
            reserved=tuple(self._cluster.reserved()),
        )

    async def _bring_up(self, record: Attachment) -> None:
        """Make the interface, have the ruleset know it, and tell the API, all at once."""
        results = await asyncio.gather(
            self._links.attach(pod_interface(record)),
            self._endpoints.attached(record),
            self._endpoints.report(record),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _delete(self, call: CniCall) -> None:
        key = attachment_key(call)
        record = self._attachments.get(key)
        if record is not None:
            await self._remove(record)
            return
        # Nothing known: done already, or the records were lost with something left behind.
        if call.pod is not None:
            name = interface_name(call.pod.namespace, call.pod.name)
            if all(other.host_interface != name for other in self._attachments):
                await self._links.remove(name)
        await self._addresses.release(pod_handle(key.network, key.container, key.interface))

    async def _remove(self, record: Attachment) -> None:
        """Cut the pod off and free its addresses; the rest follows in the background.

        The endpoint goes last: taking it out of the ruleset keeps this machine busy, and a pod
        that is cut off has no use of the time.
        """
        is_last = not self._attachments.sharing(record)  # else a newer sandbox has the interface
        if is_last:
            await self._links.remove(record.host_interface)
        try:
            await self._addresses.free(record.handle)
        except (ApiError, ConflictError) as error:
            # The pod is cut off, which is what the runtime wants to hear; `settle` does the rest.
            _LOG.warning("release put off", pod=record.endpoint, why=str(error))
        else:
            finishing = asyncio.create_task(self._finish(record.key), name="finish release")
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)
        self._attachments.put(msgspec.structs.replace(record, state=AttachmentState.RELEASING))
        if is_last:
            await self._endpoints.detached(record)
        _LOG.info("pod detached", pod=record.endpoint)

    async def _finish(self, key: AttachmentKey) -> None:
        """Forget an attachment whose addresses are free; on failure `settle` does it."""
        try:
            async with self._alone(key.container):
                record = self._attachments.get(key)
                if record is not None and record.state is AttachmentState.RELEASING:
                    if not await self._addresses.forget(record.handle):
                        await self._addresses.release(record.handle)
                    self._attachments.remove(key)
        except (ApiError, ConflictError) as error:
            _LOG.warning("release not finished", container=key.container, why=str(error))

    async def _take_down(self, record: Attachment) -> None:
        """Cut the pod off, unless a newer sandbox of it has the interface by now."""
        if not self._attachments.sharing(record):
            await self._links.remove(record.host_interface)
            await self._endpoints.detached(record)

    async def _undo(self, record: Attachment) -> None:
        """Take back an ADD that failed.

        What can't be taken back now stays recorded: the runtime's DEL, GC and `settle` find it.
        """
        await self._take_down(record)
        try:
            await self._release(record)
        except (ApiError, ConflictError) as error:
            _LOG.warning("release put off", pod=record.endpoint, why=str(error))

    async def _release(self, record: Attachment) -> None:
        await self._addresses.release(record.handle)
        self._attachments.remove(record.key)

    async def _check(self, call: CniCall) -> None:
        record = self._attachments.get(attachment_key(call))
        previous = call.config.previous
        if record is None or record.state is not AttachmentState.ATTACHED:
            raise CniError(
                ErrorCode.UNKNOWN_CONTAINER,
                f"{call.interface} of container {call.container} is not attached",
            )
        if previous is None:
            raise CniError(ErrorCode.INVALID_CONFIG, "prevResult: CHECK needs the result of ADD")
        missing = set(record.addresses) - set(previous.addresses)
        if missing or record.host_interface not in previous.interfaces:
            raise CniError(
                ErrorCode.NOT_AS_ADDED,
                f"prevResult is not of this attachment: it has {record.host_interface} "
                f"with {', '.join(record.address_texts)}",
            )
        difference = await self._links.check(pod_interface(record))
        if difference is not None:
            raise CniError(ErrorCode.NOT_AS_ADDED, difference)

    async def _collect(self, call: CniCall) -> None:
        """Remove what the runtime does not list; go on after failures, then name them."""
        if call.config.valid_attachments is None:
            raise CniError(
                ErrorCode.INVALID_CONFIG,
                "cni.dev/valid-attachments: GC needs the list, even when it is empty",
            )
        valid = {(item.container, item.ifname) for item in call.config.valid_attachments}
        failures: list[str] = []
        for record in self._attachments:
            key = record.key
            if key.network != call.config.name or (key.container, key.interface) in valid:
                continue
            try:
                async with self._alone(key.container):
                    if (now := self._attachments.get(key)) is not None:
                        await self._remove(now)
            except ChitaError as error:
                failures.append(f"{key.container} {key.interface}: {error}")
        if failures:
            raise CniError(ErrorCode.TRY_AGAIN_LATER, f"not collected: {'; '.join(failures)}")

    @asynccontextmanager
    async def _alone(self, container: str) -> AsyncIterator[None]:
        """Let the calls of one container follow each other; others go on in parallel."""
        lock = self._calls.setdefault(container, asyncio.Lock())  # lives as long as its users
        async with lock:
            yield

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        async with asyncio.timeout(self._settings.add_timeout_s):
            yield
