//! Which server is asked: a well one with the least outstanding.

use std::sync::Arc;
use std::time::Duration;

use super::health::Rests;
use super::server::{Outstanding, Server};

/// What a choice depends on beside the servers.
pub(super) struct Choice<'a> {
    /// Servers that failed this request, by their place in the list.
    pub tried: &'a [usize],
    /// Where to begin, so that equals take turns.
    pub turn: usize,
    pub max_outstanding: u32,
    pub rests: &'a Rests,
}

/// Why no server was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoServer {
    /// Each has failed this request.
    AllTried,
    /// Each has as many requests as it may have.
    Full,
}

/// Chooses among `servers` and counts the request. A server whose rest is over gets its trial
/// first, unless it is still busy with what it did not answer. When all rest, the one whose rest ends
/// first is asked: a guess of ours never refuses what a server might answer. `now` is read only when a
/// server rests.
pub(super) fn choose(
    servers: &[Arc<Server>],
    choice: &Choice<'_>,
    now: impl Fn() -> Duration,
) -> Result<(usize, Outstanding), NoServer> {
    let mut well: Option<(u32, usize, &Arc<Server>)> = None;
    let mut resting: Option<(Duration, usize, &Arc<Server>)> = None;
    let mut untried = 0usize;
    let begin = choice.turn.checked_rem(servers.len()).unwrap_or(0);
    let (later, first) = servers.split_at_checked(begin).unwrap_or((&[], servers));
    let in_turn = first
        .iter()
        .enumerate()
        .map(|(at, server)| (at.saturating_add(begin), server))
        .chain(later.iter().enumerate());
    for (at, server) in in_turn {
        if choice.tried.contains(&at) {
            continue;
        }
        untried = untried.saturating_add(1);
        let Some(until) = server.health.rests_until() else {
            let outstanding = server.outstanding();
            if well.is_none_or(|(least, ..)| outstanding < least) {
                well = Some((outstanding, at, server));
            }
            continue;
        };
        if server.outstanding() < choice.max_outstanding
            && server.health.claim_trial(now(), choice.rests)
            && let Some(begun) = server.begin(choice.max_outstanding)
        {
            return Ok((at, begun));
        }
        if resting.is_none_or(|(soonest, ..)| until < soonest) {
            resting = Some((until, at, server));
        }
    }
    if untried == 0 {
        return Err(NoServer::AllTried);
    }
    let chosen = well
        .map(|(_, at, server)| (at, server))
        .or(resting.map(|(_, at, server)| (at, server)));
    let (at, server) = chosen.ok_or(NoServer::Full)?;
    let begun = server.begin(choice.max_outstanding).ok_or(NoServer::Full)?;
    Ok((at, begun))
}

#[cfg(test)]
mod tests {
    use super::super::address::ServerAddress;
    use super::super::health::Failure;
    use super::*;

    const RESTS: Rests = Rests {
        after: 3,
        first: Duration::from_secs(1),
        longest: Duration::from_secs(60),
    };

    fn servers(count: u16) -> Vec<Arc<Server>> {
        (0..count)
            .map(|n| ServerAddress::parse(&format!("http://127.0.0.1:{}", 9000 + n)).unwrap())
            .map(|address| Arc::new(Server::new(address, None)))
            .collect()
    }

    fn pick(
        servers: &[Arc<Server>],
        tried: &[usize],
        turn: usize,
    ) -> Result<(usize, Outstanding), NoServer> {
        let choice = Choice {
            tried,
            turn,
            max_outstanding: 2,
            rests: &RESTS,
        };
        choose(servers, &choice, || Duration::from_secs(10))
    }

    #[test]
    fn the_server_with_the_least_outstanding_is_asked() {
        let servers = servers(3);
        let mut held = Vec::new();
        let mut order = Vec::new();
        for _ in 0..6 {
            let (at, outstanding) = pick(&servers, &[], 0).unwrap();
            order.push(at);
            held.push(outstanding);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
        assert_eq!(pick(&servers, &[], 0).err(), Some(NoServer::Full));
        drop(held.remove(4));
        assert_eq!(pick(&servers, &[], 0).unwrap().0, 1);
    }

    #[test]
    fn equals_take_turns() {
        let servers = servers(3);
        let order: Vec<_> = (0..4)
            .map(|turn| pick(&servers, &[], turn).unwrap().0)
            .collect();
        assert_eq!(order, [0, 1, 2, 0]);
    }

    #[test]
    fn a_server_that_failed_the_request_is_not_asked_again() {
        let servers = servers(2);
        assert_eq!(pick(&servers, &[0], 0).unwrap().0, 1);
        assert_eq!(pick(&servers, &[0, 1], 0).err(), Some(NoServer::AllTried));
    }

    #[test]
    fn a_resting_server_is_asked_only_when_all_rest() {
        let servers = servers(2);
        servers[0]
            .health
            .failed(Failure::Unreachable, Duration::from_secs(10), &RESTS);
        for turn in 0..4 {
            assert_eq!(pick(&servers, &[], turn).unwrap().0, 1);
        }
        servers[1]
            .health
            .failed(Failure::Unreachable, Duration::from_millis(9_500), &RESTS);
        assert_eq!(pick(&servers, &[], 0).unwrap().0, 1);
    }

    #[test]
    fn a_server_whose_rest_is_over_gets_one_trial() {
        let servers = servers(2);
        servers[1]
            .health
            .failed(Failure::Unreachable, Duration::from_secs(9), &RESTS);
        assert_eq!(pick(&servers, &[], 0).unwrap().0, 1);
        assert_eq!(pick(&servers, &[], 1).unwrap().0, 0);
    }

    #[test]
    fn a_server_that_is_full_when_its_rest_is_over_refuses_nobody() {
        let servers = servers(2);
        let _unanswered: Vec<_> = (0..2).map(|_| servers[0].begin(2).unwrap()).collect();
        servers[0]
            .health
            .failed(Failure::Unreachable, Duration::from_secs(9), &RESTS);
        assert_eq!(pick(&servers, &[], 0).unwrap().0, 1);
    }
}
