//! Lanes carry one request after another through the service, on memory that the one before has warmed.
//!
//! The future that answers a request is several kilobytes. Made anew for every request it is moved three
//! times, to memory that no cache holds; kept with its connection it makes an idle one dear.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Request, Response};

use super::Serve;
use crate::body::Body;
use crate::inbound::{ClientBody, Peer};

/// Free lanes that a worker keeps: more are made while more requests are under way.
const KEPT: usize = 128;

/// The lanes of one worker.
pub(super) struct Lanes<S> {
    service: Rc<S>,
    free: RefCell<Vec<Lane>>,
}

/// A future that answers what is laid on its desk, for ever.
struct Lane {
    desk: Rc<Desk>,
    work: Pin<Box<dyn Future<Output = ()>>>,
}

/// Where requests are laid for a [`Serve`], one at a time, and answers for their client.
#[derive(Default)]
pub struct Desk {
    request: Cell<Option<(Peer, Box<Request<ClientBody>>)>>,
    answer: Cell<Option<Response<Body>>>,
}

/// One request on its lane. Dropped before the answer, or by a panic, it takes the lane with it.
pub(super) struct Ride<S> {
    lanes: Rc<Lanes<S>>,
    lane: Option<Lane>,
}

impl<S: Serve> Lanes<S> {
    pub(super) fn new(service: S) -> Rc<Self> {
        Rc::new(Self {
            service: Rc::new(service),
            free: RefCell::default(),
        })
    }

    /// Answers one request.
    pub(super) fn carry(self: &Rc<Self>, peer: Peer, request: Box<Request<ClientBody>>) -> Ride<S> {
        let free = self.free.borrow_mut().pop();
        let lane = free.unwrap_or_else(|| Lane::new(Rc::clone(&self.service)));
        lane.desk.request.set(Some((peer, request)));
        Ride {
            lanes: Rc::clone(self),
            lane: Some(lane),
        }
    }
}

impl Lane {
    fn new<S: Serve>(service: Rc<S>) -> Self {
        let desk = Rc::<Desk>::default();
        let own = Rc::clone(&desk);
        Self {
            desk,
            work: Box::pin(async move { service.serve(&own).await }),
        }
    }
}

impl Desk {
    /// The next request.
    pub async fn next(&self) -> (Peer, Box<Request<ClientBody>>) {
        poll_fn(|_| match self.request.take() {
            Some(request) => Poll::Ready(request),
            // Whoever lays one there polls next.
            None => Poll::Pending,
        })
        .await
    }

    /// Answers the request that was taken last.
    pub fn answer(&self, answer: Response<Body>) {
        self.answer.set(Some(answer));
    }
}

impl<S> Future for Ride<S> {
    type Output = Response<Body>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        let ride = self.get_mut();
        let Some(mut lane) = ride.lane.take() else {
            return Poll::Pending;
        };
        // It is ours while it works, so that a panic drops it.
        let worked = lane.work.as_mut().poll(cx);
        match lane.desk.answer.take() {
            Some(answer) => {
                let mut free = ride.lanes.free.borrow_mut();
                if worked.is_pending() && free.len() < KEPT {
                    free.push(lane);
                }
                Poll::Ready(answer)
            }
            None => {
                ride.lane = Some(lane);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::inbound::Scheme;

    /// Waits for a permit where the path says so, and panics where it says that.
    struct Service(Rc<Semaphore>);

    impl Serve for Service {
        async fn serve(&self, desk: &Desk) {
            loop {
                let (_, request) = desk.next().await;
                match request.uri().path() {
                    "/wait" => self.0.acquire().await.unwrap().forget(),
                    "/panic" => panic!("as asked"),
                    _ => {}
                }
                let mut answer = Response::new(Body::Empty);
                *answer.status_mut() = StatusCode::NO_CONTENT;
                desk.answer(answer);
            }
        }
    }

    fn lanes() -> (Rc<Lanes<Service>>, Rc<Semaphore>) {
        let gate = Rc::new(Semaphore::new(0));
        (Lanes::new(Service(Rc::clone(&gate))), gate)
    }

    fn ride(lanes: &Rc<Lanes<Service>>, path: &str) -> Ride<Service> {
        let peer = Peer {
            address: ([127, 0, 0, 1], 1).into(),
            scheme: Scheme::Https,
            server_name: None,
        };
        let request = Request::builder().uri(path);
        lanes.carry(peer, Box::new(request.body(ClientBody::default()).unwrap()))
    }

    fn free(lanes: &Lanes<Service>) -> usize {
        lanes.free.borrow().len()
    }

    #[tokio::test]
    async fn requests_follow_each_other_on_one_lane() {
        let (lanes, _) = lanes();
        for _ in 0..3 {
            assert_eq!(ride(&lanes, "/").await.status(), StatusCode::NO_CONTENT);
            assert_eq!(free(&lanes), 1);
        }
    }

    #[tokio::test]
    async fn requests_side_by_side_have_a_lane_each() {
        let (lanes, gate) = lanes();
        let waiting = async { tokio::join!(ride(&lanes, "/wait"), ride(&lanes, "/wait")) };
        let (_, quick) = tokio::join!(waiting, async {
            let quick = ride(&lanes, "/").await;
            gate.add_permits(2);
            quick
        });
        assert_eq!(quick.status(), StatusCode::NO_CONTENT);
        assert_eq!(free(&lanes), 3);
    }

    #[tokio::test]
    async fn of_many_lanes_some_are_kept() {
        let (lanes, gate) = lanes();
        gate.add_permits(KEPT + 1);
        let mut rides: Vec<_> = (0..=KEPT).map(|_| ride(&lanes, "/wait")).collect();
        for ride in &mut rides {
            ride.await;
        }
        assert_eq!(free(&lanes), KEPT);
    }

    #[tokio::test]
    async fn an_abandoned_request_leaves_no_lane_behind() {
        let (lanes, gate) = lanes();
        let mut waiting = Box::pin(ride(&lanes, "/wait"));
        let began = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending()));
        assert!(began.await);
        drop(waiting);
        gate.add_permits(1);
        assert_eq!(free(&lanes), 0);
        assert_eq!(ride(&lanes, "/").await.status(), StatusCode::NO_CONTENT);
    }

    #[tokio::test]
    async fn a_panic_takes_its_lane_along_and_no_other() {
        let (lanes, _) = lanes();
        ride(&lanes, "/").await;
        let panicking = Rc::clone(&lanes);
        let local = tokio::task::LocalSet::new();
        let panicked = local.run_until(async {
            tokio::task::spawn_local(async move { ride(&panicking, "/panic").await }).await
        });
        assert!(panicked.await.is_err_and(|error| error.is_panic()));
        assert_eq!(free(&lanes), 0);
        assert_eq!(ride(&lanes, "/").await.status(), StatusCode::NO_CONTENT);
    }
}
