"""Topics of the bench: made, filled, and looked at as who reads what is committed sees them."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 2
SINKS = ("enriched", "quarantine", "quality")
PATIENCE = 60.0


class Topics:
    def __init__(self, brokers):
        self.brokers = brokers
        self.admin = AdminClient({"bootstrap.servers": brokers})

    def make(self, names):
        """Brokers stamp each message when they write it, so that its time is no engine's choice."""
        config = {"message.timestamp.type": "LogAppendTime"}
        made = self.admin.create_topics([NewTopic(name, PARTITIONS, 1, config=config) for name in names])
        for name in made.values():
            name.result()

    def remove(self, names):
        for name in self.admin.delete_topics(names).values():
            name.result()

    def fill(self, topic, folder):
        """File k goes into partition k, each line a message."""
        producer = Producer({
            "bootstrap.servers": self.brokers, "enable.idempotence": True, "linger.ms": 20, "batch.size": 524288,
            "queue.buffering.max.messages": 500000, "queue.buffering.max.kbytes": 262144,
        })
        lost = []
        told = lambda error, _: error and lost.append(error)
        files = {part: open(folder / "json" / f"part-{part}.jsonl", "rb", buffering=1 << 20) for part in range(PARTITIONS)}
        while files:
            for part, file in list(files.items()):
                lines = file.readlines(1 << 16)
                if not lines:
                    files.pop(part).close()
                for line in lines:
                    while True:
                        try:
                            producer.produce(topic, line[:-1], partition=part, on_delivery=told)
                            break
                        except BufferError:
                            producer.poll(0.1)
                producer.poll(0)
        if producer.flush(PATIENCE) or lost:
            raise SystemExit(f"{topic}: not all messages were taken: {lost[:1]}")

    def consumer(self, isolation="read_committed"):
        return Consumer({
            "bootstrap.servers": self.brokers, "group.id": "bench", "enable.auto.commit": False, "enable.partition.eof": True,
            "isolation.level": isolation, "fetch.wait.max.ms": 10, "auto.offset.reset": "error",
        })


class Ends:
    """Where topics end: for who reads what is committed, or all that is written."""

    def __init__(self, topics, names, isolation):
        self.consumer = topics.consumer(isolation)
        self.all = [TopicPartition(name, part) for name in names for part in range(PARTITIONS)]

    def now(self):
        return [self.end(one) for one in self.all]

    def end(self, one):
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self.consumer.get_watermark_offsets(one, timeout=PATIENCE, cached=False)[1]
            except KafkaException as error:
                # A topic that was made a moment ago may have no leader yet.
                if not error.args[0].retriable() and error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION or time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def settled(self):
        """What was on its way when its writer died has come."""
        before, same = self.now(), 0
        while same < 3:
            time.sleep(0.02)
            now = self.now()
            same = same + 1 if now == before else 0
            before = now
        return before

    def close(self):
        self.consumer.close()


class First:
    """Waits for the first message that is seen behind some offsets."""

    def __init__(self, topics, topic, offsets):
        self.consumer = topics.consumer()
        self.consumer.assign([TopicPartition(topic, part, offset) for part, offset in enumerate(offsets)])

    def seen(self, wait):
        message = self.consumer.poll(wait)
        return message is not None and not message.error()

    def close(self):
        self.consumer.close()


class Reader:
    """Reads the topics of all sinks from their beginning."""

    def __init__(self, topics, tag):
        self.sinks = {f"{sink}-{tag}": sink for sink in SINKS}
        self.consumer = topics.consumer()
        parts = [TopicPartition(name, part, OFFSET_BEGINNING) for name in self.sinks for part in range(PARTITIONS)]
        self.parts = len(parts)
        self.at_end = set()
        self.consumer.assign(parts)

    def some(self):
        """Pairs of sink and value, and none where a second brings nothing."""
        for message in self.consumer.consume(20_000, 1.0):
            error = message.error()
            place = message.topic(), message.partition()
            if error and error.code() == KafkaError._PARTITION_EOF:
                self.at_end.add(place)
            elif error:
                raise SystemExit(f"{place}: {error}")
            else:
                self.at_end.discard(place)
                yield self.sinks[message.topic()], message.value()

    def is_at_end(self):
        return len(self.at_end) == self.parts

    def close(self):
        self.consumer.close()
