//! Where a look-up's rows are: all of them in every process, or each on the worker that owns its key.

use super::Loaded;
use crate::job::plan::{Placement, Plan};

/// Bytes of encoded rows above which `placement = "auto"` partitions a look-up, if there are several processes.
///
/// A process needs some four times as much for a replica (blocks, arrangement, index, columns). Larger, and tables are held in every process
/// that would be better shared out; smaller, and batches visit other workers for what a process could well hold.
pub(super) const AUTO_BYTES: usize = 64 << 20;

/// For each look-up whether it is partitioned, once it is loaded. One process tells all others what it found here.
///
/// Within one process replicas share what is large, so only a job that says so gets a partitioned look-up there.
pub fn partitioned(plan: &Plan, loaded: &[Loaded], processes: usize) -> Vec<bool> {
    let lookups = plan.lookups.iter().zip(loaded);
    lookups
        .map(|(lookup, loaded)| is_partitioned(lookup.placement, loaded.bytes(), processes))
        .collect()
}

fn is_partitioned(placement: Placement, bytes: usize, processes: usize) -> bool {
    match placement {
        Placement::Auto => processes > 1 && bytes > AUTO_BYTES,
        Placement::Replicated => false,
        Placement::Partitioned => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_look_ups_are_shared_out_among_processes_unless_the_job_says_otherwise() {
        for (placement, bytes, processes, partitioned) in [
            (Placement::Auto, AUTO_BYTES, 4, false),
            (Placement::Auto, AUTO_BYTES + 1, 4, true),
            (Placement::Auto, AUTO_BYTES + 1, 1, false),
            (Placement::Replicated, AUTO_BYTES + 1, 4, false),
            (Placement::Partitioned, 0, 1, true),
        ] {
            assert_eq!(
                is_partitioned(placement, bytes, processes),
                partitioned,
                "{placement:?} {bytes} {processes}"
            );
        }
    }
}
