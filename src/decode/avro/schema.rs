//! Schemas of Avro: the JSON text as a table of nodes, in which named types may point to each other.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::AvroError;

/// Largest schema text: generated schemas of whole systems have some hundred kilobytes.
pub(super) const MAX_SCHEMA_BYTES: usize = 16 << 20;

/// A node of a schema.
pub(super) type NodeId = usize;

/// A schema, read.
#[derive(Debug, Clone)]
pub struct AvroSchema {
    nodes: Vec<Node>,
    pub(super) root: NodeId,
}

/// What stands at one place.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Arc<[String]>),
    Record(Arc<[Member]>),
    Array(NodeId),
    Map(NodeId),
    Union(Arc<[NodeId]>),
    /// Units of 10^-scale in two's complement, as bytes or as a fixed.
    Decimal {
        fixed: Option<usize>,
        precision: u8,
        scale: i8,
    },
    /// A UUID as 16 bytes.
    FixedUuid,
    Date,
    TimeMillis,
    TimeMicros,
    Timestamp {
        unit: arrow_schema::TimeUnit,
        /// Whether it is a moment; without, it is a time on a clock somewhere.
        utc: bool,
    },
}

/// A member of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) node: NodeId,
}

impl AvroSchema {
    /// Reads a schema's text.
    ///
    /// # Errors
    /// It is no JSON, no schema, or names a type that it does not define.
    pub fn parse(text: &[u8]) -> Result<Self, AvroError> {
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(AvroError::schema(format!(
                "it has {} bytes; at most {MAX_SCHEMA_BYTES} are read",
                text.len()
            )));
        }
        // serde_json stops at a depth of 128.
        let value: Value =
            serde_json::from_slice(text).map_err(|error| AvroError::schema(error.to_string()))?;
        let mut reader = Reader::default();
        let root = reader.read(&value, "")?;
        Ok(Self {
            nodes: reader.nodes,
            root,
        })
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The members of the record that a message of this schema is.
    pub(super) fn members(&self) -> Result<&[Member], AvroError> {
        match self.node(self.root) {
            Node::Record(members) => Ok(members),
            _ => Err(AvroError::schema("it is not that of a record".to_owned())),
        }
    }

    /// The one node of a union with null, and whether it is one.
    pub(super) fn present(&self, id: NodeId) -> (NodeId, bool) {
        if let Node::Union(branches) = self.node(id) {
            let mut others = branches
                .iter()
                .filter(|branch| *self.node(**branch) != Node::Null);
            if let (Some(only), None) = (others.next(), others.next()) {
                return (*only, true);
            }
        }
        (id, false)
    }
}

#[derive(Debug, Default)]
struct Reader {
    nodes: Vec<Node>,
    named: HashMap<String, NodeId>,
}

impl Reader {
    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn read(&mut self, value: &Value, namespace: &str) -> Result<NodeId, AvroError> {
        match value {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => {
                let branches: Result<Vec<NodeId>, AvroError> = branches
                    .iter()
                    .map(|branch| self.read(branch, namespace))
                    .collect();
                Ok(self.add(Node::Union(branches?.into())))
            }
            Value::Object(object) => self.object(object, namespace),
            other => Err(AvroError::schema(format!("{other} is no type"))),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<NodeId, AvroError> {
        if let Some(node) = primitive(name) {
            return Ok(self.add(node));
        }
        let full = full_name(name, namespace);
        let known = self.named.get(&full).or_else(|| self.named.get(name));
        known
            .copied()
            .ok_or_else(|| AvroError::schema(format!("it does not define the type {name:?}")))
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<NodeId, AvroError> {
        let missing = |key: &str| AvroError::schema(format!("a type lacks {key:?}"));
        let word = match object.get("type") {
            Some(Value::String(word)) => word.as_str(),
            // A type in braces around a whole one.
            Some(inner) => return self.read(inner, namespace),
            None => return Err(missing("type")),
        };
        let inner = |key: &str| object.get(key).ok_or_else(|| missing(key));
        match word {
            "array" => {
                let items = self.read(inner("items")?, namespace)?;
                Ok(self.add(Node::Array(items)))
            }
            "map" => {
                let values = self.read(inner("values")?, namespace)?;
                Ok(self.add(Node::Map(values)))
            }
            "record" | "error" => {
                // Its members may name it, so that it must be known before them.
                let id = self.add(Node::Null);
                let namespace = self.define(object, namespace, id)?;
                let fields = inner("fields")?
                    .as_array()
                    .ok_or_else(|| missing("fields"))?;
                let mut members = Vec::with_capacity(fields.len());
                for field in fields {
                    let name = field.get("name").and_then(Value::as_str);
                    let name = name.ok_or_else(|| missing("name"))?;
                    let of_type = field.get("type").ok_or_else(|| missing("type"))?;
                    let node = self.read(of_type, &namespace)?;
                    members.push(Member {
                        name: name.to_owned(),
                        node,
                    });
                }
                self.nodes[id] = Node::Record(members.into());
                Ok(id)
            }
            "enum" => {
                let symbols = inner("symbols")?
                    .as_array()
                    .ok_or_else(|| missing("symbols"))?;
                let symbols: Option<Vec<String>> = symbols
                    .iter()
                    .map(|symbol| symbol.as_str().map(str::to_owned))
                    .collect();
                let symbols = symbols.ok_or_else(|| missing("symbols"))?;
                let id = self.add(Node::Enum(symbols.into()));
                self.define(object, namespace, id)?;
                Ok(id)
            }
            "fixed" => {
                let size = inner("size")?
                    .as_u64()
                    .and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| missing("size"))?;
                let node = logical(object, Node::Fixed(size));
                let id = self.add(node);
                self.define(object, namespace, id)?;
                Ok(id)
            }
            word => match primitive(word) {
                Some(node) => {
                    let node = logical(object, node);
                    Ok(self.add(node))
                }
                None => self.by_name(word, namespace),
            },
        }
    }

    /// Notes the name of a type; gives the namespace of what stands in it.
    fn define(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        id: NodeId,
    ) -> Result<String, AvroError> {
        let name = object.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| AvroError::schema("a type lacks \"name\"".to_owned()))?;
        let own = object
            .get("namespace")
            .and_then(Value::as_str)
            .unwrap_or(namespace);
        let full = full_name(name, own);
        let namespace = full
            .rsplit_once('.')
            .map_or("", |(namespace, _)| namespace)
            .to_owned();
        if self.named.insert(full.clone(), id).is_some() {
            return Err(AvroError::schema(format!("it defines {full:?} twice")));
        }
        Ok(namespace)
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn primitive(word: &str) -> Option<Node> {
    Some(match word {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int,
        "long" => Node::Long,
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes,
        "string" => Node::Text,
        _ => return None,
    })
}

/// What a logical type makes of a type. One that is unknown, or not right for the type, counts for nothing, as Avro's
/// specification wants.
fn logical(object: &Map<String, Value>, node: Node) -> Node {
    use arrow_schema::TimeUnit as U;
    // Kafka Connect keeps the names of its own types beside Avro's.
    let word = object
        .get("logicalType")
        .or_else(|| object.get("connect.name"));
    let Some(word) = word.and_then(Value::as_str) else {
        return node;
    };
    let timestamp = |unit, utc| Node::Timestamp { unit, utc };
    let number = |key: &str| object.get(key).and_then(Value::as_u64);
    match (word, &node) {
        ("decimal", Node::Bytes | Node::Fixed(_)) => {
            let fixed = if let Node::Fixed(size) = node {
                Some(size)
            } else {
                None
            };
            let precision = number("precision").and_then(|precision| u8::try_from(precision).ok());
            let scale = i8::try_from(number("scale").unwrap_or(0)).ok();
            match (precision, scale) {
                (Some(precision), Some(scale))
                    if (1..=76).contains(&precision)
                        && i16::from(scale) <= i16::from(precision) =>
                {
                    Node::Decimal {
                        fixed,
                        precision,
                        scale,
                    }
                }
                _ => node,
            }
        }
        ("uuid", Node::Fixed(16)) => Node::FixedUuid,
        ("date" | "io.debezium.time.Date", Node::Int) => Node::Date,
        ("time-millis", Node::Int) => Node::TimeMillis,
        ("time-micros", Node::Long) => Node::TimeMicros,
        ("timestamp-millis", Node::Long) => timestamp(U::Millisecond, true),
        ("timestamp-micros", Node::Long) => timestamp(U::Microsecond, true),
        ("timestamp-nanos", Node::Long) => timestamp(U::Nanosecond, true),
        ("local-timestamp-millis" | "io.debezium.time.Timestamp", Node::Long) => {
            timestamp(U::Millisecond, false)
        }
        ("local-timestamp-micros" | "io.debezium.time.MicroTimestamp", Node::Long) => {
            timestamp(U::Microsecond, false)
        }
        ("local-timestamp-nanos" | "io.debezium.time.NanoTimestamp", Node::Long) => {
            timestamp(U::Nanosecond, false)
        }
        _ => node,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_their_namespaces_and_types_may_hold_themselves() {
        let text = br#"{"type":"record","name":"Sale","namespace":"shop","fields":[
            {"name":"next","type":["null","Sale"]},
            {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["a","b"]}},
            {"name":"other","type":"shop.Kind"},
            {"name":"deep","type":{"type":"record","name":"x.Deep","fields":[{"name":"k","type":"shop.Kind"}]}}]}"#;
        let schema = AvroSchema::parse(text).unwrap();
        let members = schema.members().unwrap();
        assert_eq!(schema.present(members[0].node), (schema.root, true));
        assert_eq!(members[1].node, members[2].node);
    }

    #[test]
    fn what_is_no_schema_is_told() {
        for (text, piece) in [
            ("", "EOF"),
            ("7", "is no type"),
            (r#""sale""#, "\"sale\""),
            (r#"{"type":"record","name":"r"}"#, "\"fields\""),
            (r#"{"type":"record","fields":[]}"#, "\"name\""),
            (r#"{"type":"fixed","name":"f","size":-1}"#, "\"size\""),
            (r#"{"type":"enum","name":"e","symbols":[1]}"#, "\"symbols\""),
            (
                r#"[{"type":"fixed","name":"f","size":1},{"type":"fixed","name":"f","size":1}]"#,
                "twice",
            ),
        ] {
            let error = AvroSchema::parse(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(piece), "{text}: {error}");
        }
        let deep = format!("{}\"int\"{}", "[".repeat(100_000), "]".repeat(100_000));
        AvroSchema::parse(deep.as_bytes()).unwrap_err();
    }
}
