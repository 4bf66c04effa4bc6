"""The sink `ozone`: labels on accounts of the AT Protocol, for Ozone, the moderation service of Bluesky.

An account that an alert of kind `account` is about gets the label `[sinks] ozone_account_label`, a member of a campaign
`ozone_campaign_label`; an alert that is withdrawn, or no longer about an account, takes its label back. Coordination
that is not shown to be machine-driven labels nobody, and so do accounts that are no DIDs.

`--sink ozone:FILE.jsonl` writes label records (`com.atproto.label.defs#label`), unsigned: only a labeller's own key can
sign. `ozone:https://HOST` has Ozone make them, by `tools.ozone.moderation.emitEvent`, in order and at least once;
setting a label again changes nothing. **Labels are public**: an alert is a request to look, so use values that only
your own moderators subscribe to, or feed Ozone from decisions instead.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from detector.errors import UsageError
from streaming.config import Config
from streaming.outgoing import Endpoint
from streaming.retry import Backoff
from streaming.schema.alert import AlertRecord, read_alert
from streaming.sinks.result_file import ResultFile
from streaming.sinks.webhook import FIRST_WAIT_S, LONGEST_WAIT_S, deliver

EMIT_PATH: Final = "/xrpc/tools.ozone.moderation.emitEvent"

SERVICE: Final = "#atproto_labeler"
"""Of the labeller's DID document, where a personal data server passes requests on to."""

DID: Final = re.compile(r"did:[a-z]+:[A-Za-z0-9._:%-]*[A-Za-z0-9._-]")
"""AT Protocol's syntax of DIDs."""

LONGEST_DID: Final = 2048
"""Characters, as the protocol has it."""

LABEL_VERSION: Final = 1


class Labelling(NamedTuple):
    """One label to set or take back.

    Args:
        did: of the account.
        value: of the label.
        negated: whether it is taken back.
        at: when it was decided, as the alert says.
    """

    did: str
    value: str
    negated: bool
    at: str


class LabelState(msgspec.Struct):
    """Which alerts label whom.

    Args:
        holds: value and DID, separated by a blank -> ids of the alerts that want the label.
        of_alert: id of an alert -> DIDs that it labels.
    """

    holds: dict[str, list[str]] = {}
    of_alert: dict[str, list[str]] = {}


class Labels:
    """What revisions of alerts mean for labels; pure but for its state.

    Args:
        account: value for accounts with an alert of their own; "" for none.
        campaign: value for members of campaigns; "" for none.
        state: to go on from.
    """

    def __init__(self, account: str, campaign: str, state: LabelState | None = None) -> None:
        self._values = {"account": account, "campaign": campaign}
        self.state = state if state is not None else LabelState()

    def of(self, alert: AlertRecord) -> Iterator[Labelling]:
        """What is to be set and taken back after a revision, those taken back first."""
        value = self._values.get(alert.kind, "")
        state = self.state
        before = state.of_alert.pop(alert.id, [])
        wanted: list[str] = []
        if value and alert.status == "open":
            names = dict.fromkeys(member.account for member in alert.members)
            wanted = [name for name in names if len(name) <= LONGEST_DID and DID.fullmatch(name)]
        if wanted:
            state.of_alert[alert.id] = wanted
        for did in before:
            if did not in wanted and self._let_go(value, did, alert.id):
                yield Labelling(did, value, True, alert.at)
        for did in wanted:
            holders = state.holds.setdefault(f"{value} {did}", [])
            if alert.id not in holders:
                holders.append(alert.id)
                if len(holders) == 1:
                    yield Labelling(did, value, False, alert.at)

    def _let_go(self, value: str, did: str, alert_id: str) -> bool:
        """Whether no other alert wants a label any more."""
        key = f"{value} {did}"
        holders = [each for each in self.state.holds.get(key, []) if each != alert_id]
        if holders:
            self.state.holds[key] = holders
        else:
            self.state.holds.pop(key, None)
        return not holders


def label_record(labelling: Labelling, source: str) -> dict[str, Any]:
    """The record of a label (`com.atproto.label.defs#label`), unsigned.

    Args:
        labelling: what to set or take back.
        source: DID of the labeller.
    """
    record = {
        "ver": LABEL_VERSION,
        "src": source,
        "uri": labelling.did,
        "val": labelling.value,
        "cts": labelling.at,
    }
    return record | ({"neg": True} if labelling.negated else {})


def emit_request(labelling: Labelling, source: str) -> dict[str, Any]:
    """The input of `tools.ozone.moderation.emitEvent` that sets a label, or takes it back.

    Args:
        labelling: what to set or take back.
        source: DID in whose name.
    """
    set_, back = ([], [labelling.value]) if labelling.negated else ([labelling.value], [])
    return {
        "event": {
            "$type": "tools.ozone.moderation.defs#modEventLabel",
            "createLabelVals": set_,
            "negateLabelVals": back,
            "comment": "Swarmlight: an alert, for a moderator to look at",
        },
        "subject": {"$type": "com.atproto.admin.defs#repoRef", "did": labelling.did},
        "createdBy": source,
    }


class LabelFile:
    """Label records, one a line, complete once it is closed.

    Args:
        file: open for writing.
        labels: what alerts mean for them.
        source: DID of the labeller.
    """

    def __init__(self, file: ResultFile, labels: Labels, source: str) -> None:
        self._file = file
        self._labels = labels
        self._source = source
        self._abandoned = False

    def write(self, alert_id: str, body: bytes) -> None:
        """Write what a revision means for labels."""
        for labelling in self._labels.of(read_alert(body)):
            self._file.write(msgspec.json.encode(label_record(labelling, self._source)) + b"\n")

    def close(self) -> None:
        """Let the file take the place of an earlier one."""
        if not self._abandoned:
            self._file.publish()

    def abandon(self) -> Path | None:
        """Close the file under the name that it has until it is complete: the run has failed."""
        self._abandoned = True
        return self._file.abandon()


class OzoneService:
    """Has Ozone set labels, and returns when it did.

    Args:
        endpoint: of Ozone, or of the personal data server of a moderator, which passes requests on.
        labels: what alerts mean for labels.
        source: DID of the labeller.
        authorization: value of the header, `Bearer ...` or `Basic ...`.
        give_up_s: seconds after which a service that takes nothing is an error.
        kept: file of the state, so that labels are taken back after a restart; None to keep none.
    """

    flush_s = 1.0
    """The state is a small file."""

    def __init__(
        self,
        endpoint: Endpoint,
        labels: Labels,
        source: str,
        authorization: str,
        give_up_s: float,
        kept: Path | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._labels = labels
        self._source = source
        self._headers = {
            "Authorization": authorization,
            "Content-Type": "application/json",
            "atproto-proxy": f"{source}{SERVICE}",
        }
        self._give_up_s = give_up_s
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)
        self._kept = kept

    def write(self, alert_id: str, body: bytes) -> None:
        """Have labels set and taken back as a revision means.

        Raises:
            DeliveryError: one was not.
        """
        before = msgspec.json.encode(self._labels.state)
        try:
            for labelling in self._labels.of(read_alert(body)):
                sent = msgspec.json.encode(emit_request(labelling, self._source))
                deliver(lambda sent=sent: self._emit(sent), self._backoff, give_up_s=self._give_up_s)  # type: ignore[misc]
        except BaseException:
            # The revision comes again, and has to mean the same then.
            self._labels.state = msgspec.json.decode(before, type=LabelState)
            raise

    def flush(self) -> None:
        """Keep the state.

        Raises:
            UsageError: it cannot be written.
        """
        if self._kept is None:
            return
        try:
            beside = self._kept.with_name(f"{self._kept.name}.new")
            beside.write_bytes(msgspec.json.encode(self._labels.state))
            beside.replace(self._kept)
        except OSError as error:
            raise UsageError(f"--sink ozone: {str(self._kept)!a} cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Keep the state, and close the connection."""
        try:
            self.flush()
        finally:
            self._endpoint.close()

    def _emit(self, body: bytes) -> None:
        self._endpoint.request("POST", body, self._headers, path=EMIT_PATH)


def open_sink(target: str, config: Config) -> LabelFile | OzoneService:
    """The file or the service that `target` names.

    Raises:
        UsageError: it names none, or the configuration lacks what is needed.
    """
    sinks = config.sinks
    if not target:
        raise UsageError("--sink ozone: name a file, as in ozone:labels.jsonl, or a service, as in ozone:https://HOST")
    if not DID.fullmatch(sinks.ozone_did):
        raise UsageError("--sink ozone: labels need a source: set [sinks] ozone_did to the labeller's DID")
    labels = Labels(sinks.ozone_account_label, sinks.ozone_campaign_label)
    if not target.startswith(("https://", "http://")):
        return LabelFile(ResultFile(Path(target), "--sink ozone:"), labels, sinks.ozone_did)
    secret = sinks.ozone_secret()
    if secret is None:
        raise UsageError(
            "--sink ozone: the service asks who we are: put the value of its Authorization header into "
            "SWARMLIGHT_SINKS__OZONE_AUTHORIZATION, or into a file that [sinks] ozone_authorization_file names"
        )
    endpoint = Endpoint(target, "--sink ozone", internal=sinks.internal_addresses == "allow")
    kept = _state_file(config, target)
    if kept is not None:
        labels.state = _kept_state(kept)
    return OzoneService(endpoint, labels, sinks.ozone_did, secret.get_secret_value(), sinks.give_up_s, kept)


def _state_file(config: Config, target: str) -> Path | None:
    """Where a deployment that lives keeps who is labelled: beside its snapshots, where there is such a folder."""
    folder = Path(config.state.dir)
    digest = hashlib.sha256(target.encode("utf-8", "replace")).hexdigest()[:8]
    return folder / f"ozone-{digest}.json" if folder.is_dir() else None


def _kept_state(path: Path) -> LabelState:
    try:
        return msgspec.json.decode(path.read_bytes(), type=LabelState)
    except FileNotFoundError:
        return LabelState()
    except (OSError, msgspec.MsgspecError):
        raise UsageError(
            f"--sink ozone: {str(path)!a} is to say who is labelled, and cannot be read: restore it, or remove it and "
            "take back by hand what was labelled before"
        ) from None
