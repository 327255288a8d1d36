//! The ids of topics: what tells a topic from one of the same name that was made after it was deleted.
//!
//! rdkafka gives everything else of metadata and not these, so librdkafka is asked itself, as its `DescribeTopics` example does. It is a
//! request of metadata like others, and asks no other right than reading does.
//!
//! **Why the calls are sound.** (1) The client's handle is valid while `client` is borrowed, and nothing made from it outlives this
//! function: [`Owned`] destroys each thing once, the things of an event with the event, and librdkafka counts who uses a queue by itself, so
//! that an answer that comes too late meets no freed one. (2) Names go in as C strings that live until the request was made, which copies
//! them. (3) What comes back is read while its event lives; each pointer that may be null is looked at first; lists are read as far
//! as they are long. (4) Texts are copied out.

#![expect(
    unsafe_code,
    reason = "rdkafka has no call for topic ids; the proof stands in the head of the file"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};

/// How much longer an answer is waited for than the client waits itself.
const GRACE: Duration = Duration::from_secs(1);

/// A thing of librdkafka that is destroyed with this.
struct Owned<T> {
    thing: *mut T,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// `None` where librdkafka gave none.
    fn new(thing: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        (!thing.is_null()).then_some(Self { thing, destroy })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it is not null, is ours, and is destroyed here alone.
        unsafe { (self.destroy)(self.thing) }
    }
}

/// The id of each of these topics that is there, may be described and has one: brokers before 2.8 gave none.
///
/// Errors: what the client says, in words; there was no answer for `patience`.
pub(crate) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    patience: Duration,
) -> Result<BTreeMap<String, String>, String> {
    let mut ids = BTreeMap::new();
    // A name with a zero byte is none of a topic.
    let names: Vec<CString> = topics
        .iter()
        .filter_map(|topic| CString::new(*topic).ok())
        .collect();
    if names.is_empty() {
        return Ok(ids);
    }
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    let handle = client.native_ptr();
    let none = || "it gave no memory".to_owned();
    // SAFETY: (1), (2).
    let event = unsafe {
        let wanted =
            c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let wanted = Owned::new(wanted, c::rd_kafka_TopicCollection_destroy).ok_or_else(none)?;
        let describe = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = c::rd_kafka_AdminOptions_new(handle, describe);
        let options = Owned::new(options, c::rd_kafka_AdminOptions_destroy).ok_or_else(none)?;
        // A time that it does not take leaves its own.
        let _code = c::rd_kafka_AdminOptions_set_request_timeout(
            options.thing,
            millis(patience),
            ptr::null_mut(),
            0,
        );
        let queue = c::rd_kafka_queue_new(handle);
        let queue = Owned::new(queue, c::rd_kafka_queue_destroy).ok_or_else(none)?;
        c::rd_kafka_DescribeTopics(handle, wanted.thing, options.thing, queue.thing);
        let event = c::rd_kafka_queue_poll(queue.thing, millis(patience + GRACE));
        Owned::new(event, c::rd_kafka_event_destroy)
    };
    let event = event.ok_or_else(|| format!("no answer within {} s", patience.as_secs()))?;
    // SAFETY: (3), (4).
    unsafe {
        if c::rd_kafka_event_error(event.thing)
            != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            let words = text(c::rd_kafka_event_error_string(event.thing));
            return Err(words.unwrap_or_default());
        }
        let result = c::rd_kafka_event_DescribeTopics_result(event.thing);
        if result.is_null() {
            return Err("it is an answer to another question".to_owned());
        }
        let mut count = 0;
        let described = c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        for at in 0..if described.is_null() { 0 } else { count } {
            let topic = *described.add(at);
            let error = c::rd_kafka_TopicDescription_error(topic);
            let no_error = c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            if !error.is_null() && c::rd_kafka_error_code(error) != no_error {
                continue;
            }
            let id = c::rd_kafka_TopicDescription_topic_id(topic);
            let is_none = id.is_null()
                || c::rd_kafka_Uuid_most_significant_bits(id) == 0
                    && c::rd_kafka_Uuid_least_significant_bits(id) == 0;
            if is_none {
                continue;
            }
            let name = text(c::rd_kafka_TopicDescription_name(topic));
            // As Kafka's own tools show it.
            let id = text(c::rd_kafka_Uuid_base64str(id));
            if let (Some(name), Some(id)) = (name, id) {
                ids.insert(name, id);
            }
        }
    }
    Ok(ids)
}

/// A text of librdkafka's.
///
/// # Safety
///
/// It is null, or points to a C string that lives until this returns.
unsafe fn text(words: *const c_char) -> Option<String> {
    if words.is_null() {
        return None;
    }
    // SAFETY: as this function's.
    let words = unsafe { CStr::from_ptr(words) };
    Some(words.to_string_lossy().into_owned())
}
