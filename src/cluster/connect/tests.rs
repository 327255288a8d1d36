//! Who is let in, and what strangers are told.

use super::*;

fn cluster(index: usize, processes: usize) -> Cluster {
    Cluster {
        index,
        addresses: (0..processes)
            .map(|port| format!("localhost:{port}"))
            .collect(),
        token: Some("secret".to_owned()),
    }
}

fn waiting<'a>(cluster: &'a Cluster, interrupt: &'a Interrupt) -> Waiting<'a> {
    Waiting {
        cluster,
        interrupt,
        tell: |_| {},
        hello: hello(cluster),
        here: BTreeMap::new(),
        heard: BTreeMap::new(),
        strangers: 0,
    }
}

fn hello(cluster: &Cluster) -> Hello {
    Hello {
        purpose: Purpose::Rows,
        job: "ventas".to_owned(),
        plan: 1,
        build: 2,
        processes: cluster.addresses.len(),
        workers: 1,
        index: cluster.index,
        token: Some("secret".to_owned()),
    }
}

#[test]
fn whoever_differs_is_refused_by_what_differs() {
    let cluster = cluster(1, 4);
    let own = hello(&cluster);
    let interrupt = Interrupt::default();
    let here = waiting(&cluster, &interrupt);
    let other = Hello { index: 2, ..own };
    assert_eq!(here.judge(&other), Ok(()));
    let refused = |change: &dyn Fn(&mut Hello)| {
        let mut other = other.clone();
        change(&mut other);
        here.judge(&other).unwrap_err()
    };
    assert!(refused(&|other| other.token = None).contains("CAUDAL_TOKEN"));
    assert!(refused(&|other| other.job = "compras".to_owned()).contains("compras"));
    assert!(refused(&|other| other.build = 9).contains("build"));
    assert!(refused(&|other| other.plan = 9).contains("job file"));
    assert!(refused(&|other| other.processes = 3).contains("-n 3"));
    assert!(refused(&|other| other.workers = 7).contains("-w 7"));
    for index in [0, 1, 4] {
        assert!(refused(&|other| other.index = index).contains("-p"));
    }
    assert!(
        refused(&|other| other.purpose = Purpose::Control).contains("-p"),
        "control is process 0's"
    );
    assert_eq!(here.missing(), [0, 2, 3]);
}

#[test]
fn a_process_that_did_not_hear_that_it_is_welcome_may_come_again() {
    let cluster = cluster(0, 2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let own = hello(&cluster);
    let interrupt = Interrupt::default();
    let mut here = waiting(&cluster, &interrupt);
    here.here.insert((1, Purpose::Rows), stream);
    let again = Hello { index: 1, ..own };
    let words = here.judge(&again).unwrap_err();
    assert!(words.contains("process 1 is here already"), "{words}");
    drop(other);
    // Loopback has told of it when the call returns, or soon after.
    let deadline = Instant::now() + Duration::from_secs(10);
    while here.judge(&again).is_err() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn what_strangers_say_is_cut_and_can_not_move_the_cursor() {
    let told = shown(&format!("\u{1b}]0;title\n{}", "x".repeat(10_000)));
    assert!(told.starts_with("\\u{1b}]0;title\\nxxx"), "{told}");
    assert_eq!(told.chars().count(), MOST_SHOWN);
}

#[test]
fn a_hello_that_drips_is_waited_for_no_longer_than_one_that_does_not_come() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    let mut hurried = Hurried {
        stream: &far,
        until: Instant::now() + Duration::from_millis(50),
    };
    near.write_all(b"c").unwrap();
    let mut byte = [0];
    hurried.read_exact(&mut byte).unwrap();
    hurried.until = Instant::now();
    near.write_all(b"a").unwrap();
    let error = hurried.read_exact(&mut byte).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
