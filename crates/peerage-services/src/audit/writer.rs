//! The one task that writes: it names who it was, and adds lines in batches.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use peerage_mesh::{Budget, Origin};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, MissedTickBehavior},
};

use super::{Audit, Event, Item, Note, file::Log, refused::Seen, tidy};
use crate::{api::AuditEntry, members::Members};

/// How often what was held back, and what the budget has refused, is written.
const TICK: Duration = Duration::from_secs(1);
/// Lines that are written together, at the most.
const BATCH: usize = 512;
/// Always as long, so that times can be compared as texts.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// See the module's page.
pub(super) struct Writer {
    audit: Audit,
    members: Members,
    budget: Budget,
    seen: Seen,
    log: Option<Log>,
}

impl Writer {
    pub(super) fn new(audit: Audit, members: Members, budget: Budget) -> Self {
        let settings = audit.0.settings;
        let log = Log::new(audit.0.file.clone(), settings.size, settings.files);
        Self {
            audit,
            members,
            budget,
            seen: Seen::default(),
            log: Some(log),
        }
    }

    pub(super) async fn run(mut self, mut waiting: Receiver<Item>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                count = waiting.recv_many(&mut batch, BATCH) => if count == 0 { return },
                _ = tick.tick() => {
                    let due = self.audit.flood().due(Instant::now());
                    batch.extend(now(due));
                    batch.extend(now(self.seen.news(&self.budget)));
                }
            }
            if batch.iter().any(|item| matches!(item, Item::Flush(_))) {
                let held = self.audit.flood().rest();
                batch.extend(now(held));
                batch.extend(now(self.seen.news(&self.budget)));
            }
            let (mut flushed, mut entries) = (Vec::new(), Vec::new());
            for item in batch.drain(..) {
                match item {
                    Item::Event(event, note) => entries.push(self.entry(&event, &note)),
                    Item::Flush(done) => flushed.push(done),
                }
            }
            self.write(entries).await;
            for done in flushed {
                let _ = done.send(());
            }
        }
    }

    async fn write(&mut self, mut entries: Vec<AuditEntry>) {
        if entries.is_empty() {
            return;
        }
        let lost = self.audit.0.lost.swap(0, Ordering::Relaxed);
        entries[0].lost = (lost > 0).then_some(lost);
        let mut lines = Vec::new();
        for entry in &entries {
            serde_json::to_writer(&mut lines, entry).expect("texts and numbers always serialise");
            lines.push(b'\n');
        }
        let Some(mut log) = self.log.take() else {
            return;
        };
        let written = tokio::task::spawn_blocking(move || {
            let written = log.add(&lines);
            (log, written)
        });
        let Ok((log, written)) = written.await else {
            return;
        };
        self.log = Some(log);
        if let Err(error) = written {
            tracing::error!(%error, "the audit cannot be written");
            let lost = lost + entries.len() as u64;
            self.audit.0.lost.fetch_add(lost, Ordering::Relaxed);
            return;
        }
        for entry in entries {
            // Nobody may be following.
            let _ = self.audit.0.written.send(Arc::new(entry));
        }
    }

    fn entry(&self, event: &Event, note: &Note) -> AuditEntry {
        let (who, name, claims) = self.who(event);
        AuditEntry {
            time: line_time(note.at),
            verdict: event.verdict,
            action: event.action.to_owned(),
            object: tidy(&event.object),
            who,
            name,
            claims,
            rule: event.rule.as_deref().map(tidy),
            status: event.status,
            bytes_in: event.bytes_in,
            bytes_out: event.bytes_out,
            ms: event
                .took
                .map(|took| (took.as_secs_f64() * 1e6).round() / 1e3),
            count: (note.count > 1).then_some(note.count),
            lost: None,
        }
    }

    fn who(&self, event: &Event) -> (String, Option<String>, Option<String>) {
        match event.who {
            Some(Origin::Local) => ("local".to_owned(), None, None),
            None => ("many".to_owned(), None, None),
            Some(Origin::Peer(peer)) => {
                let names = self.members.names_of(&peer);
                let name = names.first().map(ToString::to_string);
                let card = self.members.book().get(&peer).and_then(|r| r.card);
                let claims = card.map(|card| tidy(card.name()));
                (peer.to_base58(), name, claims)
            }
        }
    }
}

fn now(events: Vec<(Event, u64)>) -> impl Iterator<Item = Item> {
    let at = peerage_mesh::book::now();
    let events = events.into_iter();
    events.map(move |(event, count)| Item::Event(Box::new(event), Note { at, count }))
}

/// A unix time as it stands in lines.
#[must_use]
pub fn line_time(at: Duration) -> String {
    let nanos = i128::try_from(at.as_nanos()).unwrap_or(i128::MAX);
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(TIME).ok())
        .unwrap_or_default()
}
