//! What ties a stream to the session that admitted it, and tells it when that is over.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Method;
use tokio::sync::oneshot;

use super::keeper::Keeper;
use super::rounds::Entry;
use super::{Cause, Owner, Place, TooManyStreams};
use crate::authn::{Grounds, Identity};
use crate::inbound::{CleanPath, ClientIp, Host, Inbound};

/// What takes longer than this is watched.
pub const LASTING: Duration = Duration::from_secs(1);

/// Who was let in, and to what: enough to judge it again.
pub struct Admitted {
    pub identity: Arc<Identity>,
    pub asked: Asked,
}

/// What was asked for, as far as a route is found and a policy kept by it.
pub struct Asked {
    pub host: Host,
    pub path: CleanPath,
    pub method: Method,
    pub client: ClientIp,
    /// The route that it took.
    pub route: Arc<str>,
}

/// A caller's right to be served. Costs next to nothing until it is watched, and what is short
/// never is.
pub struct Tether {
    admitted: Arc<Admitted>,
    keeper: Keeper,
    place: Option<Place>,
    watched: Option<Watched>,
}

struct Watched {
    term: Term,
    told: Told,
}

enum Told {
    Yet(oneshot::Receiver<Cause>),
    Already(Cause),
    /// The worker is going, and its streams with it.
    Never,
}

/// How long something may last, if nothing of what admitted it is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// As long as the credential, or the session that extends it; never longer than the session.
    Stream,
    /// A request that has no answer: as long as another one would be let in. The same, but a token that
    /// is good is not asked whether its session was left unused.
    Request,
    /// A request that was sent: a client that would send it again might have it done twice. It may
    /// outlive a token, and ends with the session.
    Sent,
}

impl Asked {
    pub fn of(req: &Inbound, route: &Arc<str>) -> Self {
        Self {
            host: req.host.clone(),
            path: req.path.clone(),
            method: req.method.clone(),
            client: req.client,
            route: route.clone(),
        }
    }
}

impl Tether {
    pub(super) fn new(admitted: Admitted, keeper: Keeper) -> Self {
        Self {
            admitted: Arc::new(admitted),
            keeper,
            place: None,
            watched: None,
        }
    }

    /// Takes the stream's place among those of its session, or refuses the stream.
    pub fn claim(&mut self) -> Result<(), TooManyStreams> {
        if self.place.is_none() {
            self.place = Some(self.keeper.streams().place(self.owner())?);
        }
        Ok(())
    }

    /// Refuses what may become a stream when its session has enough of them.
    pub fn check_room(&self) -> Result<(), TooManyStreams> {
        match self.place {
            Some(_) => Ok(()),
            None => self.keeper.streams().check_room(|| self.owner()),
        }
    }

    /// From now on this is a stream of the session: it counts, and ends with it.
    pub fn hold(&mut self) {
        if self.is_held() {
            return;
        }
        if self.claim().is_err() {
            self.keeper.streams().count_ended(Cause::TooMany);
            self.watched = Some(Watched {
                term: Term::Stream,
                told: Told::Already(Cause::TooMany),
            });
            return;
        }
        self.watch(Term::Stream);
    }

    pub fn is_held(&self) -> bool {
        let watched = self.watched.as_ref();
        self.place.is_some() && watched.is_some_and(|watched| watched.term == Term::Stream)
    }

    /// From now on a request is watched whose answer has not begun. It counts as no stream.
    fn watch_request(&mut self) {
        if self.watched.is_none() {
            self.watch(Term::Request);
        }
    }

    /// The request has gone whole: that its credential has expired does not end it.
    pub fn outlive_credential(&mut self) {
        self.watch(Term::Sent);
    }

    /// The answer has begun: it is watched when it turns out to last.
    pub fn loosen(&mut self) {
        self.watched = None;
    }

    fn watch(&mut self, term: Term) {
        let (teller, told) = oneshot::channel();
        self.keeper
            .watch(Entry::new(self.admitted.clone(), term, teller));
        self.watched = Some(Watched {
            term,
            told: Told::Yet(told),
        });
    }

    /// Completes when the session is over; never while it is not watched.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        let Some(Watched { told, .. }) = &mut self.watched else {
            return Poll::Pending;
        };
        let cause = match told {
            Told::Already(cause) => return Poll::Ready(*cause),
            Told::Never => return Poll::Pending,
            Told::Yet(told) => ready!(Pin::new(told).poll(cx)).ok(),
        };
        *told = cause.map_or(Told::Never, Told::Already);
        cause.map_or(Poll::Pending, Poll::Ready)
    }

    fn owner(&self) -> Owner {
        let Identity { claims, tenure, .. } = &*self.admitted.identity;
        match tenure.grounds {
            Grounds::Session(id) => Owner::Session(id),
            Grounds::Key { id, .. } => Owner::Session(id.as_session()),
            Grounds::Token { .. } => Owner::Subject(claims.subject().into()),
        }
    }
}

/// Completes when the session of a stream is over; never for nobody's.
pub async fn over(tether: Option<&mut Tether>) -> Cause {
    match tether {
        Some(tether) => poll_fn(|cx| tether.poll_over(cx)).await,
        None => pending().await,
    }
}

/// Does what a request needs before it is answered, but no longer than its session lasts: that is
/// watched from [`LASTING`] on.
///
/// # Errors
///
/// The session was over before.
pub async fn during<T>(
    tether: Option<&mut Tether>,
    work: impl Future<Output = T>,
) -> Result<T, Cause> {
    let Some(tether) = tether else {
        return Ok(work.await);
    };
    let end = async {
        if tether.watched.is_none() {
            tokio::time::sleep(LASTING).await;
            tether.watch_request();
        }
        over(Some(tether)).await
    };
    tokio::select! {
        biased;
        done = work => Ok(done),
        cause = end => Err(cause),
    }
}

/// Lets so much time pass, and has the session watched from [`LASTING`] on. Gives why it was over
/// before.
pub async fn lapse(time: Duration, tether: Option<&mut Tether>) -> Option<Cause> {
    let Some(tether) = tether else {
        tokio::time::sleep(time).await;
        return None;
    };
    let mut rest = time;
    if tether.watched.is_none() {
        let loose = LASTING.min(time);
        tokio::time::sleep(loose).await;
        rest = time.saturating_sub(loose);
        tether.watch_request();
    }
    tokio::time::timeout(rest, over(Some(tether))).await.ok()
}
