//! What a shard has to send, in which order, and how much of it is there already. No broker and no clock: `shard` does what this says.

use std::collections::{BTreeMap, VecDeque};

use super::messages::{Message, Messages, compare};
use super::progress::Progress;
use crate::record::Epoch;

/// Bytes of a batch of messages that are written down together, at about which another one is begun.
const MOST_BYTES: usize = 1 << 30;

/// An epoch's messages in the order in which they are sent.
pub(super) struct Whole {
    pub(super) epoch: Epoch,
    batches: Vec<Messages>,
    /// Batch and message.
    order: Vec<(u32, u32)>,
    /// How many of them are committed.
    sent: usize,
}

impl Whole {
    /// Sorts an epoch's messages; batches are mostly in order already, and few rows change places.
    pub(super) fn new(epoch: Epoch, batches: Vec<Messages>) -> Self {
        let mut order = Vec::with_capacity(batches.iter().map(Messages::len).sum());
        for (number, batch) in (0_u32..).zip(&batches) {
            let messages =
                u32::try_from(batch.len()).expect("a batch has fewer than 2^32 messages");
            order.extend((0..messages).map(|message| (number, message)));
        }
        let at = |(batch, message): &(u32, u32)| (&batches[wide(*batch)], wide(*message));
        order.sort_by(|a, b| compare(at(a), at(b)));
        Self {
            epoch,
            batches,
            order,
            sent: 0,
        }
    }

    /// The messages of each sink in the order in which they are sent, whatever batches they came in; of a sink with very many in several.
    pub(super) fn by_sink(&self) -> BTreeMap<usize, Vec<Messages>> {
        let mut of_sinks: BTreeMap<usize, Vec<Messages>> = BTreeMap::new();
        let mut files: BTreeMap<(usize, &str), u32> = BTreeMap::new();
        for (batch, message) in &self.order {
            let (batch, message) = (&self.batches[wide(*batch)], wide(*message));
            let (order, message) = (batch.order(message), batch.get(message));
            let own = of_sinks.entry(message.sink).or_default();
            if own.last().is_none_or(|last| last.bytes() >= MOST_BYTES) {
                own.push(Messages::new(0, 0, message.sink, self.epoch));
                files.retain(|(sink, _), _| *sink != message.sink);
            }
            let last = own.last_mut().expect("one was pushed");
            let file = message.from.map(|(file, _)| {
                let number = files.entry((message.sink, file));
                *number.or_insert_with(|| last.add_file(file))
            });
            last.push(
                order,
                file,
                message.key,
                message.value,
                message.headers,
                message.partition,
                message.timestamp,
            );
        }
        of_sinks
    }

    /// All messages in their order.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = Message<'_>> {
        (0..self.order.len()).map(|place| self.get(place))
    }

    /// What of it goes into a transaction with room for so many messages, where the topics have what `progress` says.
    pub(super) fn part(&mut self, progress: &Progress, room: usize) -> Part<'_> {
        self.sent = match progress.sent {
            _ if progress.has(self.epoch) => self.order.len(),
            Some(sent) if progress.epoch == self.epoch => self.up_to(sent),
            _ => 0,
        };
        let messages = self.left().min(room);
        Part {
            whole: self,
            messages,
        }
    }

    fn up_to(&self, sent: u64) -> usize {
        let all = self.order.len();
        usize::try_from(sent).map_or(all, |sent| sent.min(all))
    }

    /// How many messages are not committed yet.
    fn left(&self) -> usize {
        self.order.len() - self.sent
    }

    fn get(&self, place: usize) -> Message<'_> {
        let (batch, message) = self.order[place];
        self.batches[wide(batch)].get(wide(message))
    }
}

fn wide(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit")
}

/// A part of an epoch that goes into one transaction.
pub(super) struct Part<'a> {
    whole: &'a Whole,
    messages: usize,
}

impl<'a> Part<'a> {
    /// The epoch.
    pub(super) fn epoch(&self) -> Epoch {
        self.whole.epoch
    }

    /// The messages in their order.
    pub(super) fn messages(&self) -> impl Iterator<Item = Message<'a>> {
        let whole = self.whole;
        (whole.sent..whole.sent + self.messages).map(|place| whole.get(place))
    }

    /// What is to be written down with it: how many of the epoch's messages are there then; `None`: all.
    pub(super) fn sent(&self) -> Option<u64> {
        let sent = self.whole.sent + self.messages;
        (sent < self.whole.order.len()).then(|| count(sent))
    }
}

/// A number of messages as it is written down.
pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).expect("a number of messages fits 64 bits")
}

/// What a shard has to send.
#[derive(Default)]
pub(super) struct Queue {
    /// Messages of epochs that may not be whole yet.
    open: BTreeMap<Epoch, Vec<Messages>>,
    /// Whole epochs, the oldest first.
    whole: VecDeque<Whole>,
    /// Up to which epoch, and how many messages of it, everything is in the topics; nothing at first.
    has: Option<(Epoch, Option<u64>)>,
    /// Up to which epoch everything is in the topics or in the outbox.
    held: Epoch,
    /// The last epoch that had messages and whose messages are all in the topics, or in the outbox.
    last: Epoch,
}

impl Queue {
    /// Takes messages; those of epochs that the topics have are let go.
    pub(super) fn push(&mut self, messages: Messages) {
        if self.has_all(messages.epoch) {
            self.last = self.last.max(messages.epoch);
        } else {
            self.open.entry(messages.epoch).or_default().push(messages);
        }
    }

    /// No more come for epochs before `passed`; `None`: for any. Those are whole.
    pub(super) fn pass(&mut self, passed: Option<Epoch>) {
        while let Some(first) = self.open.first_entry() {
            let epoch = *first.key();
            if passed.is_some_and(|passed| epoch >= passed) {
                return;
            }
            let mut whole = Whole::new(epoch, first.remove());
            whole.sent = self.sent_of(&whole);
            if whole.left() > 0 {
                self.whole.push_back(whole);
            } else {
                self.last = self.last.max(epoch);
            }
        }
    }

    /// The topics have what `progress` says, as it was read after everybody else was fenced.
    pub(super) fn resume(&mut self, progress: &Progress) {
        self.has = Some((progress.epoch, progress.sent));
        self.let_go();
    }

    /// The outbox has, or the topics do, all epochs up to this one that had messages.
    pub(super) fn held_up_to(&mut self, epoch: Epoch) {
        self.held = self.held.max(epoch);
        self.let_go();
    }

    /// The oldest epoch that may be held: it is whole and not in the topics.
    pub(super) fn to_hold(&self) -> Option<&Whole> {
        self.whole.front()
    }

    fn let_go(&mut self) {
        while let Some(front) = self.whole.front()
            && self.has_all(front.epoch)
        {
            self.last = self.last.max(front.epoch);
            self.whole.pop_front();
        }
        for place in 0..self.whole.len() {
            self.whole[place].sent = self.sent_of(&self.whole[place]);
        }
    }

    fn has_all(&self, epoch: Epoch) -> bool {
        let has = self.has;
        epoch <= self.held
            || has.is_some_and(|(upto, sent)| epoch < upto || (epoch == upto && sent.is_none()))
    }

    /// How many of an epoch's messages are in the topics.
    fn sent_of(&self, whole: &Whole) -> usize {
        let all = whole.order.len();
        match self.has {
            _ if self.has_all(whole.epoch) => all,
            Some((upto, Some(sent))) if upto == whole.epoch => whole.up_to(sent),
            _ => 0,
        }
    }

    /// The oldest epoch that is whole and not in the topics.
    pub(super) fn front(&self) -> Option<Epoch> {
        self.whole.front().map(|front| front.epoch)
    }

    /// The last epoch that had messages and whose messages are all in the topics, or in the outbox. Those that wait are none of it: a
    /// checkpoint before them must not say that they are there.
    pub(super) fn last(&self) -> Epoch {
        self.last
    }

    /// What goes into the next transaction: epochs up to `durable`, at most so many messages.
    pub(super) fn parts(&self, durable: Epoch, most: usize) -> Vec<Part<'_>> {
        let mut parts = Vec::new();
        let mut room = most;
        for whole in &self.whole {
            if whole.epoch > durable || room == 0 {
                break;
            }
            let messages = whole.left().min(room);
            room -= messages;
            parts.push(Part { whole, messages });
        }
        parts
    }

    /// The transaction with [`Self::parts`] is committed; `sent` says how many messages of each.
    pub(super) fn committed(&mut self, sent: &[usize]) {
        for sent in sent {
            let front = self.whole.front_mut().expect("it was sent");
            front.sent += sent;
            if front.left() == 0 {
                self.last = self.last.max(front.epoch);
                self.whole.pop_front();
            }
        }
    }
}

impl Part<'_> {
    /// How many messages.
    pub(super) fn len(&self) -> usize {
        self.messages
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::messages::Order;
    use super::super::outbox::tests::{Memory, cluster, sink};
    use super::super::outbox::{self, Outbox};
    use super::super::progress::FORMAT;
    use super::*;
    use crate::epoch::Store;

    /// The messages of one epoch: file, place and value.
    type Said = Vec<(u64, u64, u8)>;

    fn messages(epoch: Epoch, said: &[(u64, u64, u8)]) -> Messages {
        let mut messages = Messages::new(0, 0, 0, epoch);
        for (file, place, value) in said {
            let order = Order {
                file: *file,
                place: *place,
                row: 0,
            };
            messages.push(order, None, None, Some(&[*value]), b"", None, None);
        }
        messages
    }

    fn progress(epoch: Epoch, sent: Option<u64>) -> Progress {
        Progress {
            format: FORMAT,
            job: String::new(),
            state: String::new(),
            generation: 1,
            shards: 1,
            epoch,
            sent,
            messages: 0,
        }
    }

    /// What a life does: how many messages its transactions hold, how many of them it commits before it ends, whether it forgets an
    /// answer and asks the progress again, how it cuts epochs into batches, in which epochs the cluster is away, whether its delivered
    /// epochs become a checkpoint, and for how many epochs it lives.
    #[derive(Debug, Clone)]
    struct Life {
        most: usize,
        transactions: usize,
        doubts: bool,
        batch: usize,
        away: u8,
        commits: bool,
        lives: usize,
    }

    fn lives() -> impl Strategy<Value = Vec<Life>> {
        let life = (
            1..6_usize,
            0..8_usize,
            any::<bool>(),
            1..4_usize,
            any::<u8>(),
            any::<bool>(),
            1..7_usize,
        );
        vec(
            life.prop_map(
                |(most, transactions, doubts, batch, away, commits, lives)| Life {
                    most,
                    transactions,
                    doubts,
                    batch,
                    away,
                    commits,
                    lives,
                },
            ),
            1..6,
        )
    }

    /// The topics and the progress, as transactions leave them.
    #[derive(Default)]
    struct Topic {
        messages: Vec<(Epoch, u8)>,
        progress: Option<Progress>,
    }

    fn transact(queue: &mut Queue, topic: &mut Topic, durable: Epoch, life: &Life) -> bool {
        let parts = queue.parts(durable, life.most);
        let Some(last) = parts.last() else {
            return false;
        };
        topic.progress = Some(progress(last.epoch(), last.sent()));
        for part in &parts {
            let of_part = part.messages().map(|message| message.value.unwrap()[0]);
            let epoch = part.epoch();
            topic.messages.extend(of_part.map(|value| (epoch, value)));
        }
        let sent: Vec<usize> = parts.iter().map(Part::len).collect();
        assert!(sent.iter().sum::<usize>() <= life.most);
        if life.doubts {
            queue.resume(topic.progress.as_ref().unwrap());
        } else {
            queue.committed(&sent);
        }
        true
    }

    /// A transaction of what is in the outbox, as a shard makes it.
    fn transact_held(outbox: &Outbox, topic: &mut Topic, life: &Life) {
        let before = topic.progress.clone().unwrap_or_else(|| progress(0, None));
        let mut room = life.most;
        for epoch in outbox.epochs() {
            if room == 0 {
                break;
            }
            let mut held = outbox.get(epoch).unwrap();
            let part = held.whole.part(&before, room);
            room -= part.len();
            topic.progress = Some(progress(epoch, part.sent()));
            let of_part = part.messages().map(|message| message.value.unwrap()[0]);
            topic.messages.extend(of_part.map(|value| (epoch, value)));
        }
    }

    /// One life, from a checkpoint on; gives up to which epoch it has delivered.
    fn live(
        life: &Life,
        epochs: &[Said],
        checkpoint: Epoch,
        topic: &mut Topic,
        store: &Arc<dyn Store>,
    ) -> Epoch {
        let mut outbox = Outbox::open(Arc::clone(store), &cluster(1), 0).unwrap();
        let mut queue = Queue::default();
        queue.held_up_to(outbox.last().unwrap_or_default());
        let mut is_taken = false;
        let mut left = life.transactions;
        let mut delivered = checkpoint;
        let skipped = usize::try_from(checkpoint).unwrap();
        for (epoch, said) in (1..).zip(epochs).skip(skipped).take(life.lives) {
            for batch in said.chunks(life.batch).rev() {
                queue.push(messages(epoch, batch));
            }
            queue.pass(Some(epoch + 1));
            if (life.away >> (epoch - 1)) & 1 == 1 {
                is_taken = false;
                while let Some(whole) = queue.to_hold() {
                    let held = whole.epoch;
                    outbox.put(held, &outbox::write(whole, sink)).unwrap();
                    queue.held_up_to(held);
                }
            } else {
                if !is_taken && let Some(progress) = &topic.progress {
                    queue.resume(progress);
                    outbox.remove(progress).unwrap();
                }
                is_taken = true;
                while !outbox.is_empty() || queue.front().is_some() {
                    // It ends here: what is committed is not removed.
                    if left == 0 {
                        return delivered;
                    }
                    left -= 1;
                    if outbox.is_empty() {
                        assert!(transact(&mut queue, topic, epoch, life));
                    } else {
                        transact_held(&outbox, topic, life);
                    }
                    if left > 0 {
                        outbox.remove(topic.progress.as_ref().unwrap()).unwrap();
                    }
                }
            }
            delivered = queue.front().map_or(epoch, |front| front - 1);
            let last = queue.last();
            let is_there = topic
                .progress
                .as_ref()
                .is_some_and(|progress| progress.has(last));
            assert!(last == 0 || is_there || outbox.last().is_some_and(|held| held >= last));
        }
        delivered
    }

    proptest! {
        /// Whatever lives do, wherever they end and whenever the cluster is away, each message is in the topic once, in its place.
        #[test]
        fn lives_one_after_another_send_each_message_once(
            epochs in vec(vec((0..3_u64, 0..9_u64, any::<u8>()), 0..7), 1..6),
            lives in lives(),
        ) {
            let mut topic = Topic::default();
            let store: Arc<dyn Store> = Arc::new(Memory::default());
            let mut checkpoint = 0;
            for life in &lives {
                let delivered = live(life, &epochs, checkpoint, &mut topic, &store);
                if life.commits {
                    checkpoint = delivered;
                }
            }
            let last = Life { most: 3, transactions: usize::MAX, doubts: false, batch: 2, away: 0, commits: true, lives: usize::MAX };
            let mut more = epochs.clone();
            // What was held is sent in whatever epoch comes.
            more.push(Vec::new());
            prop_assert_eq!(live(&last, &more, checkpoint, &mut topic, &store), count(more.len()));
            prop_assert!(store.list("outbox").unwrap().is_empty());
            let mut wanted = Vec::new();
            for (epoch, said) in (1..).zip(&epochs) {
                let mut said: Said = said.clone();
                said.sort_unstable();
                wanted.extend(said.into_iter().map(|(_, _, value)| (epoch, value)));
            }
            prop_assert_eq!(topic.messages, wanted);
        }
    }

    #[test]
    fn nothing_is_sent_before_it_is_bound_for_good() {
        let mut queue = Queue::default();
        queue.push(messages(4, &[(0, 0, 1)]));
        assert_eq!(queue.front(), None, "more may come");
        queue.pass(Some(4));
        assert_eq!(queue.front(), None);
        queue.pass(Some(5));
        assert_eq!(queue.front(), Some(4));
        assert!(queue.parts(3, 10).is_empty());
        assert_eq!(queue.parts(4, 10).len(), 1);
        queue.push(messages(9, &[(0, 0, 1)]));
        queue.pass(None);
        assert_eq!(queue.parts(9, 10).len(), 2);
    }

    #[test]
    fn only_what_is_in_the_topics_is_told_as_the_last() {
        let mut queue = Queue::default();
        queue.push(messages(4, &[(0, 0, 1)]));
        queue.push(messages(9, &[(0, 0, 1)]));
        queue.pass(Some(7));
        assert_eq!(queue.last(), 0);
        queue.committed(&[1]);
        assert_eq!(queue.last(), 4, "9 waits");
        queue.resume(&progress(9, None));
        assert_eq!(queue.last(), 4, "9 is not whole yet");
        queue.pass(Some(10));
        assert_eq!(queue.last(), 9);
        queue.push(messages(11, &[(0, 0, 1)]));
        queue.pass(None);
        queue.resume(&progress(11, None));
        assert_eq!(queue.last(), 11);
        // Read again, and there already.
        let mut queue = Queue::default();
        queue.resume(&progress(9, None));
        queue.push(messages(9, &[(0, 0, 1)]));
        assert_eq!(queue.last(), 9);
    }
}
