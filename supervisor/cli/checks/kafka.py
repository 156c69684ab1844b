"""RUNS IN THE USER'S TERMINAL: what `supervisor kafka doctor` makes of what a broker said, and the cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supervisor.cli import report
from supervisor.cli.checks.apart import Answer
from supervisor.core.config import redact
from supervisor.core.kafka import retry_topics
from supervisor.core.spec import ConsumerSettings

Facts = Mapping[str, Any]
Line = tuple[str, Answer]
_ACL = (
    "kafka-acls.sh --bootstrap-server {where} --add --allow-principal User:{user} --operation {right} --{kind} {name}"
)
_NO_RIGHT = "denied"
_NOT_ALL = 3  # so many are named


@dataclass(frozen=True, slots=True)
class About:
    """One consumer: its settings, where its broker is, and what the supervisor says of its members, if it runs."""

    name: str
    settings: ConsumerSettings
    where: str
    members: Sequence[Facts]

    @property
    def embedded(self) -> bool:
        return self.settings.bootstrap_servers == "embedded"

    @property
    def user(self) -> str:
        return str(self.settings.properties.get("sasl.username", "NAME"))

    def grant(self, right: str, kind: str, name: str) -> str:
        return _ACL.format(where=self.where, user=self.user, right=right, kind=kind, name=name)


def judge(about: About, found: Facts) -> Iterator[Line]:
    """Yield one line for each question, in the order in which the answers depend on each other."""
    for address, why in found["addresses"]:
        fix = "is the broker running there? bootstrap_servers in [kafka]"
        yield "address", Answer(not why, f"{address} {why or 'accepts connections'}", fix if why else "")
    if "topics" not in found:
        if "refused" in found:
            yield "broker", _refused(about, found["refused"])
        return
    yield "broker", _trusted(about)
    for topic in about.settings.topics:
        yield "topic", _topic(about, topic, found["topics"].get(topic))
    yield from _written(about, found)
    yield "group", _group(about, found)
    yield "protocol", _protocol(about, found)
    yield "processes", _processes(about, found)
    if rows := found.get("offsets"):
        yield "offsets", _offsets(about, rows)
        yield "lag", _lag(about, found, rows)
    if "ahead" in found:
        yield "clock", _clock(found["ahead"])
    if "stopped" in found:
        yield "broker", Answer(False, f"then it did not answer: {redact.text(found['stopped'])}", "ask again")


def _refused(about: About, why: str) -> Answer:
    """It accepts connections, and that is all."""
    said, properties = redact.text(why), about.settings.properties
    if "uthent" in said:
        return Answer(False, f"user {about.user} is not let in: {said}", "sasl.username, sasl.password, sasl.mechanism")
    if "Failed to create" in said:
        return Answer(False, said, "properties of [kafka], or of the consumer")
    if "ssl" in said.lower():
        fix = "is ssl.ca.location the CA of its certificate, and security.protocol what this port speaks?"
        return Answer(False, f"no trust: {said}", fix)
    secured = str(properties.get("security.protocol", "plaintext")).upper()
    fix = f"is it frozen? Does this port speak {secured} (security.protocol)?"
    return Answer(False, f"it gives no answer: {said}", fix)


def _trusted(about: About) -> Answer:
    if about.embedded:
        return Answer(None, "the embedded demo broker answers: what is in it is lost with it")
    secured = str(about.settings.properties.get("security.protocol", "plaintext")).upper()
    words = [word for word, has in (("TLS", "SSL" in secured), ("SASL", "SASL" in secured)) if has]
    user = f" as {about.user}" if "SASL" in secured else ""
    return Answer(True, f"answers{user}, {' and '.join(words) + ' accepted' if words else 'plaintext'}")


def _topic(about: About, topic: str, found: Facts | None) -> Answer:
    if found is None:
        return Answer(None, f"{topic} is a pattern")
    if error := found.get("error"):
        return _no_topic(about, topic, error, "read")
    may = found.get("may")
    if may is not None and "READ" not in may:
        return Answer(False, f"{topic}: no right to read it", about.grant("Read", "topic", topic))
    if not found["partitions"]:
        return Answer(False, f"{topic} has no partition", "look at the broker's log")
    return Answer(True, f"{topic} has {report.many(found['partitions'], 'partition')}{_may(may, 'be read')}")


def _no_topic(about: About, topic: str, error: str, verb: str) -> Answer:
    if error == _NO_RIGHT:
        right = {"read": "Read", "write": "Write"}[verb]
        return Answer(False, f"{topic}: no right to {verb} it, or it is not there", about.grant(right, "topic", topic))
    if error == "absent" and about.embedded:
        return Answer(False, f"{topic} does not exist", "supervisor reload makes the topics that config.toml names")
    if error == "absent":
        tool = f"kafka-topics.sh --bootstrap-server {about.where} --create --topic {topic}"
        return Answer(False, f"{topic} does not exist", tool)
    return Answer(False, f"{topic}: {redact.text(error)}", "ask again")


def _written(about: About, found: Facts) -> Iterator[Line]:
    """The topics that it writes into: those of retries are read, too."""
    for topic in retry_topics.names(about.settings.topics, about.settings.retry_topics):
        yield "retries", _writable(about, topic, found["topics"][topic], reads=True)
    letters = about.settings.dead_letter_topic
    if letters is None:
        text = "none is configured: a record that cannot be handled pauses its partition"
        yield "dead letters", Answer(None, text, f"dead_letter_topic in [consumers.{about.name}]")
        return
    answer = _writable(about, letters, found["topics"][letters], reads=False)
    if answer.ok and found.get("letters"):
        text = f"{answer.text}, and holds {report.many(found['letters'], 'letter')}"
        answer = Answer(True, text, f"supervisor kafka dlq ls {about.name}")
    yield "dead letters", answer


def _writable(about: About, topic: str, found: Facts, *, reads: bool) -> Answer:
    if error := found.get("error"):
        return _no_topic(about, topic, error, "write")
    may = found.get("may")
    for right, word in (("WRITE", "write"), *((("READ", "read"),) if reads else ())):
        if may is not None and right not in may:
            return Answer(False, f"{topic}: no right to {word} it", about.grant(word.title(), "topic", topic))
    return Answer(True, f"{topic} is there{_may(may, 'be written')}")


def _may(may: Sequence[str] | None, what: str) -> str:
    return f", and may {what}" if may is not None else ""


def _group(about: About, found: Facts) -> Answer:
    group, name = found["group"], about.settings.group_id
    if group.get("error") == "untold":
        held = [f"{each.get('name')} holds {len(each.get('partitions') or ())}" for each in about.members]
        return Answer(None, f"{name}: this broker does not tell its members; {'; '.join(held) or 'none of ours'}")
    if group.get("error") == _NO_RIGHT:
        return Answer(False, f"{name}: no right to read as this group", about.grant("Read", "group", name))
    if error := group.get("error"):
        return Answer(False, f"{name}: {redact.text(error)}", "ask again")
    if group["may"] is not None and "READ" not in group["may"]:
        return Answer(False, f"{name}: may be seen, but not read as", about.grant("Read", "group", name))
    members = group["members"]
    if not members:
        if not about.members:
            return Answer(None, f"{name} has no members: the supervisor does not run it", "supervisor start")
        return Answer(False, f"{name} has no members, and should have", f"supervisor explain {about.name}")
    said = f"{name} is {group['state'].lower()}: {', '.join(_holds(each) for each in members[:_NOT_ALL])}"
    said += f" and {len(members) - _NOT_ALL} more" if len(members) > _NOT_ALL else ""
    if foreign := [each for each in members if not _is_ours(about, each)]:
        first = foreign[0]
        text = f"{said}; {report.many(len(foreign), 'member')} of another program: {first['client']} on {first['host']}"
        return Answer(False, text, "they take partitions from this consumer: give one of the two another group_id")
    return Answer(True, said)


def _is_ours(about: About, member: Facts) -> bool:
    """By the client id, `GROUP.CHILD@HOST`: another host may run the same project."""
    own = about.settings.properties.get("client.id")
    start = f"{about.settings.group_id}.{about.name}"
    return member["client"] == own or str(member["client"]).startswith((f"{start}@", f"{start}:"))


def _holds(member: Facts) -> str:
    return f"{member['client']} holds {len(member['partitions'])}"


def _protocol(about: About, found: Facts) -> Answer:
    group, chosen = found["group"], about.settings.properties.get("group.protocol")
    wanted = "classic" if chosen == "classic" or not found["new_groups"] else "consumer"
    why = "the broker has it"
    if wanted == "classic":
        why = "group.protocol says so" if chosen == "classic" else "this broker has no groups of KIP-848"
    if group.get("members") and group["type"].lower() != wanted:
        text = f"the group is {group['type'].lower()}, this consumer would join as {wanted} ({why})"
        return Answer(False, text, "all members of a group speak one protocol: stop the others, or set group.protocol")
    named = {"consumer": "KIP-848, the broker decides who gets what", "classic": "classic, a member decides"}[wanted]
    return Answer(True, f"{named}: {why}")


def _processes(about: About, found: Facts) -> Answer:
    parts = sum(found["topics"].get(topic, {}).get("partitions", 0) for topic in about.settings.topics)
    count = about.settings.processes
    if parts and count > parts:
        spare = f"{count - parts} of them {'has' if count - parts == 1 else 'have'} nothing to do"
        fix = f"processes = {parts}, or more partitions"
        return Answer(False, f"{count} for {report.many(parts, 'partition')}: {spare}", fix)
    return Answer(True, f"{count} for {report.many(parts, 'partition')}") if parts else Answer(None, str(count))


def _offsets(about: About, rows: Sequence[Facts]) -> Answer:
    lost = [row for row in rows if row["committed"] is not None and row["committed"] < row["low"]]
    beyond = [row for row in rows if row["committed"] is not None and row["committed"] > row["high"]]
    if lost:
        count = sum(row["low"] - row["committed"] for row in lost)
        text = f"{report.many(count, 'record')} {'is' if count == 1 else 'are'} lost to this group: {_places(lost)} "
        text += f"begins at {lost[0]['low']}, committed is {lost[0]['committed']}"
        return Answer(False, text, "its retention is shorter than the consumer was behind: raise retention.ms")
    if beyond:
        text = f"{_places(beyond)} ends at {beyond[0]['high']}, committed is {beyond[0]['committed']}: another topic?"
        return Answer(False, text, f"supervisor kafka reset-offsets {about.name} --to earliest --restart")
    none = [row for row in rows if row["committed"] is None]
    if len(none) == len(rows):
        return Answer(None, f"nothing is committed yet: it begins at the {about.settings.auto_offset_reset}")
    said = f"; {_places(none)} not yet" if none else ""
    return Answer(True, f"committed within what the topic holds{said}")


def _places(rows: Sequence[Facts]) -> str:
    shown = ", ".join(f"{row['topic']}:{row['partition']}" for row in rows[:_NOT_ALL])
    return shown + (f" and {len(rows) - _NOT_ALL} more" if len(rows) > _NOT_ALL else "")


def _lag(about: About, found: Facts, rows: Sequence[Facts]) -> Answer:
    behind = [(row, _behind(about, row)) for row in rows]
    late = [row for row, count in behind if count]
    total = sum(count for _, count in behind)
    if not late:
        return Answer(True, "0")
    if held := [part for each in about.members for part in each.get("partitions") or () if part.get("paused")]:
        fix = f"supervisor kafka lag {about.name} says why"
        return Answer(False, f"{total}; {_places(held)} is held", fix)
    if not found["group"].get("members") and not about.members:
        return Answer(None, f"{total}, and nobody reads", "supervisor start")
    moved = [row for row in late if row.get("later", row["committed"]) != row["committed"]]
    if moved or "later" not in late[0]:
        return Answer(True, f"{total}, and it goes on")
    return Answer(None, f"{total}, and no offset moved while this looked", f"supervisor kafka lag {about.name}")


def _behind(about: About, row: Facts) -> int:
    begin = row["committed"]
    if begin is None:
        begin = row["high"] if about.settings.auto_offset_reset == "latest" else row["low"]
    return int(max(0, row["high"] - max(row["low"], begin)))


def _clock(ahead: str | None) -> Answer:
    if ahead is None:
        return Answer(True, "no record is from the future")
    return Answer(
        False, f"{ahead} is from the future by this machine's clock", "timedatectl here, and where it was written"
    )
