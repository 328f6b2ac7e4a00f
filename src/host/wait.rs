//! Waiting for the cluster: ask, back off a little, ask again; always with a deadline.

use std::time::{Duration, Instant};

use super::node::Node;
use super::reports::Reports;
use super::{HostError, StepReport};
use crate::event::Unit;
use crate::facts::cluster::Check;
use crate::plan::Condition;
use crate::plan::condition::Progress;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(1000);
/// All is up and clean and only a warning stands: it is given this long to go away by itself.
const PATIENCE_WITH_WARNINGS: Duration = Duration::from_secs(60);

impl Node {
    pub(super) async fn wait_until(
        &self,
        condition: &Condition,
        step: &StepReport,
    ) -> Result<(), HostError> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut last: Option<Progress> = None;
        let mut unchanged_since = Instant::now();
        let mut reports = Reports::default();
        loop {
            let (progress, checks, error) = match self.how_far(condition, &mut reports).await {
                Ok((progress, checks)) => (progress, checks, None),
                Err(error) if error.lost => return Err(error),
                Err(error) => (condition.progress(None), Vec::new(), Some(error.what)),
            };
            if progress.met() {
                return Ok(());
            }
            if last.as_ref() != Some(&progress) {
                let figures =
                    (progress.total > 1).then_some((progress.done, progress.total, Unit::Count));
                step.progress(progress.message.clone(), figures);
                unchanged_since = Instant::now();
                pause = FIRST_PAUSE;
            }
            let only_warnings =
                progress.only_health && unchanged_since.elapsed() > PATIENCE_WITH_WARNINGS;
            let since = if condition.takes_as_long_as_it_moves() { unchanged_since } else { begun };
            if only_warnings || since.elapsed() > condition.deadline() {
                return Err(given_up(condition, &progress, &checks, begun.elapsed(), error));
            }
            if let Some(why) = step.hopeless.borrow().clone() {
                return Err(
                    HostError::new(why).hint("when that is mended, run the same command again")
                );
            }
            last = Some(progress);
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}

impl Node {
    /// How far it is, and what Ceph's health checks say.
    async fn how_far(
        &self,
        condition: &Condition,
        reports: &mut Reports,
    ) -> Result<(Progress, Vec<Check>), HostError> {
        let arrived = self.reports_arrived(reports).await?;
        let cluster = self.ask_cluster(false).await?;
        let mut progress = condition.progress(Some(&cluster));
        if condition.rests_on_reports(&cluster) {
            let fresh = match self.reported(reports, &cluster, arrived).await {
                Ok(fresh) => fresh || !progress.met(),
                Err(error) if error.lost => return Err(error),
                Err(error) => {
                    progress.message = error.what;
                    true
                }
            };
            if !fresh {
                progress.message = "all is well, once the OSDs have confirmed it".into();
            }
        }
        Ok((progress, cluster.checks))
    }
}

fn given_up(
    condition: &Condition,
    progress: &Progress,
    checks: &[Check],
    after: Duration,
    error: Option<String>,
) -> HostError {
    let seen =
        error.map_or_else(|| progress.message.clone(), |e| format!("{}: {e}", progress.message));
    let error = HostError::new(format!("waited {} s for {condition}: {seen}", after.as_secs()));
    if progress.only_health {
        let advice = crate::causes::what_to_do(checks.iter().map(|c| c.code.as_str()));
        return error.hint(format!("every daemon is up and every PG clean; {advice}"));
    }
    error.hint("look at the logs of the daemons named (`docker logs`), and whether the nodes reach each other on ports 3300, 6789 and 6800-7300; then run the same command again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::condition::Settled;

    fn of(codes: &[&str]) -> HostError {
        let settled = Settled { mons: Vec::new(), mgrs: 1, osds: Vec::new(), healthy: true };
        let message = "HEALTH_WARN: clock skew detected on mon.B2".to_owned();
        let progress = Progress { done: 9, total: 10, message, only_health: true };
        let check = |code: &&str| Check {
            code: (*code).into(),
            severity: "HEALTH_WARN".into(),
            summary: String::new(),
        };
        let checks: Vec<Check> = codes.iter().map(check).collect();
        let condition = Condition::Settled(settled);
        given_up(&condition, &progress, &checks, Duration::from_secs(61), None)
    }

    #[test]
    fn a_warning_that_stays_says_what_to_do_about_it() {
        let skew = of(&["MON_CLOCK_SKEW"]);
        assert!(skew.what.contains("clock skew detected on mon.B2"), "{skew:?}");
        let hint = skew.hint.expect("one");
        assert!(hint.contains("every daemon is up and every PG clean; "), "{hint}");
        assert!(hint.contains("`timedatectl set-ntp true`"), "{hint}");
        assert!(hint.contains("`cephdock check` shows who is off"), "{hint}");
    }

    #[test]
    fn of_several_warnings_each_says_what_to_do() {
        let hint = of(&["OSDMAP_FLAGS", "MON_CLOCK_SKEW", "A_NEW_ONE"]).hint.expect("one");
        assert!(hint.contains("osd unset FLAG") && hint.contains("`cephdock check`"), "{hint}");
        assert!(hint.contains("`cephdock ceph -- health detail` explains A_NEW_ONE"), "{hint}");
        let hint = of(&["OSD_NEARFULL", "POOL_NEAR_FULL"]).hint.expect("one");
        assert_eq!(hint.matches("add OSDs").count(), 1, "{hint}");
    }
}
