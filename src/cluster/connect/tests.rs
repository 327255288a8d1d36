//! Who is let in, and what strangers are told.

use super::*;

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
    let cluster = Cluster {
        index: 1,
        addresses: (0..4).map(|port| format!("localhost:{port}")).collect(),
        token: Some("secret".to_owned()),
    };
    let own = hello(&cluster);
    let here = Waiting {
        cluster: &cluster,
        interrupt: &Interrupt::default(),
        tell: |_| {},
        hello: own.clone(),
        here: BTreeMap::new(),
        heard: BTreeMap::new(),
        strangers: 0,
    };
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
