//! The client of schema registries: against a server program that answers as registries were seen to, and against a real
//! registry where `CAUDAL_REGISTRY` names one (`http://127.0.0.1:18081/apis/ccompat/v7`).

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use caudal::decode::avro::AvroSchema;
use caudal::decode::avro::framed::Framed;
use caudal::registry::subjects::SubjectError;
use caudal::registry::{Registry, RegistryError};

/// A server that ends with the test.
pub(crate) struct Served {
    child: Child,
    /// `http://127.0.0.1:port`; what it knows is below `/api`.
    pub(crate) address: String,
}

impl Served {
    /// One on a port, 0 being any free one; `None`, and a word, where there is no Python.
    pub(crate) fn start(port: u16) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/registry/serve.py");
        let child = Command::new("python3")
            .arg(script)
            .arg(port.to_string())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            println!("skipped: python3 is not there");
            return None;
        };
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        Some(Self {
            child,
            address: format!("http://127.0.0.1:{}", port.trim()),
        })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Tells it a schema.
    pub(crate) fn put(&self, id: u32, schema: &str) {
        let host = self.address.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let length = schema.len();
        write!(
            stream,
            "PUT /api/schemas/ids/{id} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{schema}"
        )
        .unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.contains("200"), "{answer}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn schemas_are_asked_for_once_and_each_failure_says_what_to_do() {
    let Some(server) = Served::start(0) else {
        return;
    };
    let mut registry = Registry::new(&format!("{}/api/", server.address), None).unwrap();
    registry.schema(1).unwrap();
    registry.schema(1).unwrap();
    registry.schema(4).unwrap();
    for (id, pieces) in [
        (2, &["schema 2", "PROTOBUF"][..]),
        (3, &["schema 3"]),
        (
            5,
            &["refuses to tell schema 5", "CAUDAL_REGISTRY_USER_INFO"],
        ),
        (9, &["has no schema 9", &server.address]),
    ] {
        let told = registry.schema(id).unwrap_err().to_string();
        for piece in pieces {
            assert!(told.contains(piece), "{piece:?} is not in {told}");
        }
    }
    let mut known = Registry::new(&format!("{}/api", server.address), Some("user:pass")).unwrap();
    known.schema(5).unwrap();
    let told = registry.schema(7).unwrap_err();
    assert!(
        matches!(told, RegistryError::Unreachable { .. }),
        "an answer without end: {told}"
    );

    // Messages of a schema that the registry gives, and of one that it has not.
    let mut framed = Framed::new(&["id"]);
    let decoded = framed
        .decode(&[Some(&[0, 0, 0, 0, 1, 84][..])], |id| registry.schema(id))
        .unwrap();
    assert_eq!(decoded.pieces[0].batch.num_rows(), 1);
    let unknown = framed.decode(&[Some(&[0, 0, 0, 0, 9, 84][..])], |id| registry.schema(id));
    assert!(matches!(unknown, Err(RegistryError::Unknown { id: 9, .. })));

    let asked = Command::new("python3")
        .args(["-c", "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"])
        .arg(format!("{}/asked", server.address))
        .output()
        .unwrap();
    let asked: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(asked["/api/schemas/ids/1"], 1, "{asked}");
    assert_eq!(asked["/api/schemas/ids/4"], 3, "{asked}");
}

#[test]
fn a_schema_has_one_id_and_each_failure_says_what_to_do() {
    let Some(server) = Served::start(0) else {
        return;
    };
    let address = format!("{}/api", server.address);
    let registry = Registry::new(&address, None).unwrap();
    let schema = |fields: &str| {
        format!(
            r#"{{"type":"record","name":"Venta","fields":[{{"name":"id","type":"long"}}{fields}]}}"#
        )
    };
    let first = schema("");
    let looked_up = |schema: &str| registry.id("ventas-value", schema, false);
    let told = looked_up(&first).unwrap_err().to_string();
    for piece in ["ventas-value", "does not have", &first, "register = true"] {
        assert!(told.contains(piece), "{piece:?} is not in {told}");
    }
    let id = registry.id("ventas-value", &first, true).unwrap();
    assert_eq!(registry.id("ventas-value", &first, true).unwrap(), id);
    assert_eq!(looked_up(&first).unwrap(), id);
    let mut reader = Registry::new(&address, None).unwrap();
    assert_eq!(&*reader.text(id).unwrap(), first);

    let added = schema(r#",{"name":"note","type":["null","string"],"default":null}"#);
    assert_ne!(registry.id("ventas-value", &added, true).unwrap(), id);
    let other = schema(r#",{"name":"zone","type":"string"}"#);
    let told = registry.id("ventas-value", &other, true).unwrap_err();
    assert!(matches!(told, SubjectError::Incompatible { .. }), "{told}");
    assert!(
        told.to_string().contains("MISSING_DEFAULT_VALUE: zone"),
        "{told}"
    );
    let told = registry.id("secret", &first, true).unwrap_err().to_string();
    assert!(
        told.contains("does not let this job write to subject secret (403)"),
        "{told}"
    );
    let known = Registry::new(&address, Some("user:pass")).unwrap();
    assert_eq!(known.id("secret", &first, true).unwrap(), id);
    let nowhere = Registry::new(&format!("{}/nowhere", server.address), None).unwrap();
    let told = nowhere.id("ventas-value", &first, true).unwrap_err();
    assert!(matches!(told, SubjectError::Answer { .. }), "{told}");
}

#[test]
fn a_job_whose_schema_has_no_id_does_not_start() {
    let Some(server) = Served::start(0) else {
        return;
    };
    let address = format!("{}/api", server.address);
    let first = r#"{"type":"record","name":"clean","fields":[{"name":"other","type":"long"}]}"#;
    let registry = Registry::new(&address, None).unwrap();
    registry.id("limpias-value", first, true).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for (address, pieces) in [
        (
            &address,
            ["does not go with those", "MISSING_DEFAULT_VALUE: id"],
        ),
        (&silent, ["does not answer", "nothing was started"]),
    ] {
        let place = tempfile::tempdir().unwrap();
        let job = format!(
            "format = 1\n[job]\nname = \"t\"\noutput = \"out\"\n[sources.s]\nfiles = {{ paths = [\"*.jsonl\"], follow = true }}\njson = {{}}\n\
             columns = {{ id = \"bigint not null\" }}\n[sinks.clean]\nkafka = {{ brokers = \"127.0.0.1:1\", topic = \"limpias\" }}\n\
             avro = {{ registry = \"{address}\" }}\n"
        );
        std::fs::write(place.path().join("job.toml"), job).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_caudal"))
            .args(["run", "job.toml"])
            .current_dir(place.path())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{told}");
        for piece in pieces.into_iter().chain(["sinks.clean: schema registry"]) {
            assert!(told.contains(piece), "{piece:?} is not in {told}");
        }
        assert!(!place.path().join("out").exists());
    }
}

#[test]
fn a_registry_that_is_not_there_is_told_within_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let begun = std::time::Instant::now();
    let error = Registry::new(&address, None)
        .unwrap()
        .schema(1)
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::Unreachable { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("does not answer"), "{error}");
    assert!(begun.elapsed().as_secs() < 20);
}

#[test]
fn a_real_registry_gives_every_version_of_a_schema() {
    let Ok(address) = std::env::var("CAUDAL_REGISTRY") else {
        println!("skipped: CAUDAL_REGISTRY names no registry");
        return;
    };
    let versions = [
        r#"{"type":"record","name":"Sale","namespace":"shop","fields":[{"name":"id","type":"int"}]}"#,
        r#"{"type":"record","name":"Sale","namespace":"shop","fields":[{"name":"id","type":"int"},{"name":"note","type":["null","string"],"default":null}]}"#,
    ];
    let subject = format!("caudal-{}-value", std::process::id());
    let ids = versions.map(|schema| {
        let body = serde_json::json!({ "schema": schema }).to_string();
        let script = "import json, sys, urllib.request\nrequest = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {'Content-Type': 'application/vnd.schemaregistry.v1+json'})\nprint(json.load(urllib.request.urlopen(request))['id'])";
        let output = Command::new("python3")
            .args(["-c", script])
            .args([format!("{address}/subjects/{subject}/versions"), body])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().unwrap()
    });
    let mut registry = Registry::new(&address, None).unwrap();
    let mut framed = Framed::new(&["id", "note"]);
    let message = |id: u32, datum: &[u8]| [&[0][..], &id.to_be_bytes(), datum].concat();
    let messages = [message(ids[0], &[2]), message(ids[1], &[4, 2, 2, b'x'])];
    let messages: Vec<Option<&[u8]>> = messages.iter().map(|bytes| Some(&bytes[..])).collect();
    let decoded = framed.decode(&messages, |id| registry.schema(id)).unwrap();
    assert!(decoded.faults.is_empty(), "{:?}", decoded.faults);
    let columns: Vec<usize> = decoded
        .pieces
        .iter()
        .map(|piece| piece.batch.num_columns())
        .collect();
    assert_eq!(columns, [1, 2]);
    // Who writes is told the same ids, and what does not go with them is refused.
    assert_eq!(registry.id(&subject, versions[0], true).unwrap(), ids[0]);
    assert_eq!(registry.id(&subject, versions[1], false).unwrap(), ids[1]);
    let unknown = registry.id(
        &subject,
        r#"{"type":"record","name":"Sale","namespace":"shop","fields":[]}"#,
        false,
    );
    assert!(
        matches!(unknown, Err(SubjectError::Unknown { .. })),
        "{unknown:?}"
    );
    let unknown = registry.schema(1_999_999_999).unwrap_err();
    assert!(
        matches!(unknown, RegistryError::Unknown { .. }),
        "{unknown}"
    );
    let _: AvroSchema = registry.schema(ids[1]).unwrap();
}
