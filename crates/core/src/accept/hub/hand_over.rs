//! Handing connections to workers: which worker gets which, and what happens to those that no worker can
//! take.

use std::collections::{BTreeMap, HashMap};

use super::super::policy::{self, Candidate, Policy};
use super::super::scoreboard::Scoreboard;
use super::listener::{Connection, Listener, Member};
use super::state::State;
use super::worker::{Health, Sent, Worker};
use crate::sys::clock::monotonic_ns;

impl State {
    pub fn redistribute(&mut self, connections: Vec<(u32, Connection)>) {
        let mut by_listener: BTreeMap<u32, Vec<Connection>> = BTreeMap::new();
        for (id, connection) in connections {
            by_listener.entry(id).or_default().push(connection);
        }
        for (id, connections) in by_listener {
            self.hand_over(id, connections);
        }
    }

    /// Assigns connections to workers by the listener's policy; those that no worker can take are parked.
    pub fn hand_over(&mut self, id: u32, mut connections: Vec<Connection>) {
        // Terminates: each round that returns some has found another worker full.
        while !connections.is_empty() {
            let Some(listener) = self.listeners.get_mut(&id) else {
                self.stats.closed_unserved += connections.len() as u64;
                return;
            };
            let is_sticky = listener.is_sticky();
            let now_ns = monotonic_ns();
            let mut candidates = candidates(listener, &self.workers, &self.board, now_ns);
            let mut shares: Vec<Vec<Connection>> = candidates.iter().map(|_| Vec::new()).collect();
            let mut for_later = Vec::new();
            for connection in connections.drain(..) {
                match assign(listener, &mut candidates, connection) {
                    Ok((index, connection)) => shares[index].push(connection),
                    Err(connection) => for_later.push(connection),
                }
            }
            let tokens: Vec<u32> = listener.members.iter().map(|member| member.token).collect();
            self.park(id, for_later);
            for (token, share) in tokens.into_iter().zip(shares) {
                if share.is_empty() {
                    continue;
                }
                let count = share.len() as u64;
                let back = self.send(token, id, now_ns, share);
                self.stats.handed_over += count - back.len() as u64;
                if is_sticky {
                    self.park(id, back);
                } else {
                    self.owe(id, token, back.len());
                    connections.extend(back);
                }
            }
        }
    }

    /// Records turns of a worker that is behind and that others get instead.
    fn owe(&mut self, id: u32, token: u32, turns: usize) {
        if let Some(listener) = self.listeners.get_mut(&id).filter(|_| turns > 0) {
            if let Some(index) = listener.index_of(token) {
                listener.cursor.owe(index, turns as u64);
            }
        }
    }

    pub fn park(&mut self, id: u32, connections: Vec<Connection>) {
        if let Some(listener) = self.listeners.get_mut(&id).filter(|_| !connections.is_empty()) {
            listener.parked.extend(connections);
            self.restless.insert(id);
        }
    }

    /// Whether a worker is ready for a listener's connections and in good health.
    pub fn takes(&self, id: u32, token: u32) -> bool {
        let is_ready = |listener: &Listener| {
            listener
                .members
                .iter()
                .any(|member| member.token == token && member.ready)
        };
        self.listeners.get(&id).is_some_and(is_ready)
            && self
                .workers
                .get(&token)
                .is_some_and(|worker| worker.health == Health::Good)
    }

    /// Sends a worker its share; returns what did not fit.
    pub fn send(&mut self, token: u32, id: u32, now_ns: u64, mut share: Vec<Connection>) -> Vec<Connection> {
        // A message carries a single hop count; the counts are nearly always all zero.
        share.sort_by_key(|connection| connection.hops);
        while !share.is_empty() {
            let hops = share[0].hops;
            let rest = share.split_off(share.partition_point(|connection| connection.hops == hops));
            let Some(worker) = self.workers.get_mut(&token) else {
                return share;
            };
            let sent = worker.send(&self.board, now_ns, id, share);
            self.watch_queue(token);
            if let Sent::Full(mut unsent) = sent {
                unsent.extend(rest);
                return unsent;
            }
            share = rest;
        }
        share
    }

    pub fn unpark(&mut self, id: u32) {
        let Some(listener) = self
            .listeners
            .get_mut(&id)
            .filter(|listener| !listener.parked.is_empty())
        else {
            return;
        };
        let mut parked: Vec<Connection> = listener.parked.drain(..).collect();
        for connection in &mut parked {
            connection.hops = 0;
            connection.refused_by = 0;
        }
        self.hand_over(id, parked);
    }
}

/// The listener's workers as seen by the policy. If none is in good health, stalled ones are eligible; if
/// clients are bound to workers, all live workers always are.
pub(super) fn candidates(
    listener: &Listener,
    workers: &HashMap<u32, Worker>,
    board: &Scoreboard,
    now_ns: u64,
) -> Vec<Candidate> {
    let of = |member: &Member, acceptable: fn(Health) -> bool| {
        let Some(worker) = workers.get(&member.token) else {
            return Candidate {
                slot: 0,
                eligible: false,
                behind: false,
                connections: 0,
                loop_lag_ns: 0,
            };
        };
        let load = board.load(worker.slot, now_ns);
        Candidate {
            slot: worker.slot,
            eligible: member.takes(now_ns) && acceptable(worker.health),
            behind: member.takes(now_ns) && worker.health == Health::Full,
            connections: u64::from(load.connections) + worker.outstanding(board),
            loop_lag_ns: load.loop_lag_ns,
        }
    };
    if listener.is_sticky() {
        return listener.members.iter().map(|m| of(m, |_| true)).collect();
    }
    let list: Vec<Candidate> = listener
        .members
        .iter()
        .map(|m| of(m, |h| h == Health::Good))
        .collect();
    if list.iter().any(|candidate| candidate.eligible) {
        return list;
    }
    listener
        .members
        .iter()
        .map(|m| of(m, |h| h != Health::Full))
        .collect()
}

/// Chooses a worker for one connection. The worker that has just refused it is excluded; once all have
/// refused it, it is deferred.
fn assign(
    listener: &mut Listener,
    candidates: &mut [Candidate],
    mut connection: Connection,
) -> Result<(usize, Connection), Connection> {
    let policy = listener.options.policy;
    if policy == Policy::IpHash {
        State::find_client(listener.options, &mut connection);
    }
    if connection.hops as usize >= candidates.len().max(1) {
        return Err(connection);
    }
    let refuser = (connection.refused_by != 0)
        .then(|| listener.index_of(connection.refused_by))
        .flatten();
    let was_eligible = refuser.map(|index| std::mem::replace(&mut candidates[index].eligible, false));
    let chosen = policy::choose(
        policy,
        &mut listener.cursor,
        candidates,
        connection.client.map(|client| client.ip()),
    );
    if let (Some(index), Some(eligible)) = (refuser, was_eligible) {
        candidates[index].eligible = eligible;
    }
    match chosen {
        Some(index) => {
            candidates[index].connections += 1;
            Ok((index, connection))
        }
        None => Err(connection),
    }
}
