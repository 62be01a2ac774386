//! The set of endpoints and the one place where it changes.
//!
//! Every change makes a new [`Snapshot`] and publishes it whole; picks under way keep the one they
//! have. Endpoints are told apart by id: one that stays keeps its signals, one that leaves keeps its
//! node until the last lease on it ends. Changes take a lock among themselves and cost time in
//! proportion to the fleet; picks never wait for them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    cell::Cell,
    endpoint::{Endpoint, EndpointId},
    error::ConfigError,
    learn::Model,
    locality::Place,
    node::Node,
    shared::Shared,
    snapshot::{Snapshot, Tier},
    sync::{Mutex, Ordering, lock},
};

/// A handle to change a balancer's endpoints while it runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fleet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    place: Place,
    published: Cell<Snapshot>,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    version: u64,
    /// In the order in which they were added.
    list: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    node: Arc<Node>,
    draining: bool,
}

impl Member {
    /// Whether it takes no new requests and its last one has ended.
    fn is_drained(&self) -> bool {
        self.draining && self.node.in_flight() == 0
    }
}

impl Fleet {
    pub(crate) fn new(
        shared: Arc<Shared>,
        place: Place,
        endpoints: Vec<Endpoint>,
    ) -> Result<Self, ConfigError> {
        let empty = Snapshot::new(0, Box::default(), Box::default(), Box::default());
        let inner = Inner {
            shared,
            place,
            published: Cell::new(Arc::new(empty)),
            members: Mutex::new(Members::default()),
        };
        let fleet = Self { inner: Arc::new(inner) };
        fleet.replace(endpoints)?;
        Ok(fleet)
    }

    /// The fleet as it is now. It stays as it is while held.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.published.load_full()
    }

    #[inline]
    pub(crate) fn published(&self) -> &Cell<Snapshot> {
        &self.inner.published
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Adds an endpoint, or describes one anew that is already there: its signals stay, unless its
    /// address changed. A draining endpoint that is added takes requests again; other drained ones that
    /// are idle are dropped.
    pub fn add(&self, endpoint: Endpoint) {
        let mut members = lock(&self.inner.members);
        members.list.retain(|member| member.node.id() == endpoint.id() || !member.is_drained());
        self.upsert(&mut members, endpoint);
        self.publish(&mut members);
    }

    /// Removes an endpoint at once. Requests that are there go on; their leases end as they would
    /// have.
    ///
    /// # Errors
    /// [`ConfigError::UnknownId`].
    pub fn remove(&self, id: &EndpointId) -> Result<(), ConfigError> {
        let mut members = lock(&self.inner.members);
        let place = position(&members, id)?;
        members.list.remove(place).node.set_member(false);
        self.publish(&mut members);
        Ok(())
    }

    /// Sends an endpoint no new requests. It stays in sight until its last request has ended and then
    /// [`Fleet::refresh`] or [`Fleet::add`] finds it idle.
    ///
    /// # Errors
    /// [`ConfigError::UnknownId`].
    pub fn drain(&self, id: &EndpointId) -> Result<(), ConfigError> {
        let mut members = lock(&self.inner.members);
        let place = position(&members, id)?;
        members.list[place].draining = true;
        members.list[place].node.set_member(false);
        self.publish(&mut members);
        Ok(())
    }

    /// Makes `endpoints` the fleet. Those that were there keep their signals; those that are gone are
    /// removed.
    ///
    /// # Errors
    /// [`ConfigError::EmptyFleet`] and [`ConfigError::DuplicateId`]; the fleet is then as before: a
    /// failed discovery never empties it.
    pub fn replace(&self, endpoints: Vec<Endpoint>) -> Result<(), ConfigError> {
        if endpoints.is_empty() {
            return Err(ConfigError::EmptyFleet);
        }
        let mut ids = HashSet::with_capacity(endpoints.len());
        if let Some(twice) = endpoints.iter().find(|endpoint| !ids.insert(endpoint.id().clone())) {
            return Err(ConfigError::DuplicateId { id: twice.id().clone() });
        }
        let mut members = lock(&self.inner.members);
        let mut known: HashMap<EndpointId, Arc<Node>> =
            members.list.drain(..).map(|member| (member.node.id().clone(), member.node)).collect();
        members.list = endpoints
            .into_iter()
            .map(|endpoint| {
                let node = self.node_for(known.remove(endpoint.id()), endpoint);
                Member { node, draining: false }
            })
            .collect();
        for gone in known.values() {
            gone.set_member(false);
        }
        self.publish(&mut members);
        Ok(())
    }

    /// Takes what has changed outside the fleet into account: drops drained endpoints that are idle,
    /// and orders regions by the round trips measured since. Without news the snapshot stays. Call it
    /// now and then off the request path.
    pub fn refresh(&self) {
        let mut members = lock(&self.inner.members);
        let before = members.list.len();
        members.list.retain(|member| !member.is_drained());
        let nearer = self.inner.shared.nearer.swap(0, Ordering::Relaxed) != 0;
        if nearer || members.list.len() != before {
            self.publish(&mut members);
        }
    }

    pub(crate) fn set_model(&self, model: Arc<Model>) -> Result<(), ConfigError> {
        let mut members = lock(&self.inner.members);
        self.inner.shared.policy.set_model(model)?;
        self.publish(&mut members);
        Ok(())
    }

    fn upsert(&self, members: &mut Members, endpoint: Endpoint) {
        if let Ok(place) = position(members, endpoint.id()) {
            let known = Arc::clone(&members.list[place].node);
            let node = self.node_for(Some(known), endpoint);
            members.list[place] = Member { node, draining: false };
        } else {
            let node = self.node_for(None, endpoint);
            members.list.push(Member { node, draining: false });
        }
    }

    /// The known node with its new description; a new one if there is none or it moved.
    fn node_for(&self, known: Option<Arc<Node>>, endpoint: Endpoint) -> Arc<Node> {
        if let Some(node) = known {
            let stays = node.address() == endpoint.address();
            node.set_member(stays);
            if stays {
                if *node.endpoint() != endpoint {
                    node.describe(endpoint);
                }
                return node;
            }
        }
        Arc::new(Node::new(endpoint, Arc::clone(&self.inner.shared)))
    }

    fn publish(&self, members: &mut Members) {
        members.version += 1;
        let active: Vec<Arc<Node>> = members
            .list
            .iter()
            .filter(|member| !member.draining)
            .map(|member| Arc::clone(&member.node))
            .collect();
        self.inner.shared.resized(active.len() as u32);
        let tiers = self
            .inner
            .place
            .tiers(&active)
            .into_iter()
            .filter(|nodes| !nodes.is_empty())
            .map(|nodes| Tier {
                picker: self.inner.shared.policy.picker(&nodes),
                nodes: nodes.into(),
            })
            .collect();
        let snapshot = Snapshot::new(
            members.version,
            members.list.iter().map(|member| Arc::clone(&member.node)).collect(),
            members.list.iter().map(|member| member.draining).collect(),
            tiers,
        );
        self.inner.published.store(Arc::new(snapshot));
    }
}

fn position(members: &Members, id: &EndpointId) -> Result<usize, ConfigError> {
    members
        .list
        .iter()
        .position(|member| member.node.id() == id)
        .ok_or_else(|| ConfigError::UnknownId { id: id.clone() })
}
