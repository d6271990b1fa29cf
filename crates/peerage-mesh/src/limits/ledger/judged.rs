//! What follows from a peer's deeds: it is shut out, or slowed, for a time.

use std::time::Duration;

use peerage_core::PeerId;
use tokio::time::Instant;

use super::Ledger;

/// Which part of its calls is left to a peer that is slowed.
const SLOWED: u32 = 10;

impl Ledger {
    /// What follows from a peer's deeds: it is shut out, and slowed, for so long at the least.
    pub(in crate::limits) fn judge(
        &mut self,
        peer: PeerId,
        out: Duration,
        slowed: Duration,
        now: Instant,
    ) {
        let limits = self.limits;
        let account = self.account(peer, now);
        if !slowed.is_zero() {
            account.slowed = Some(now + slowed);
            let rate = limits.of(account.stranger).calls_per_second;
            account.calls.set_rate(slow(rate));
        }
        if !out.is_zero() {
            let was_out = account.is_shut_out(now);
            account.shut_out = account.shut_out.max(Some(now + out));
            if !was_out {
                self.closing.push(peer);
                tracing::warn!(%peer, "a peer is shut out for what it did");
            }
        }
    }

    /// A peer is let in again, and has all its calls.
    pub(in crate::limits) fn forgive(&mut self, peer: &PeerId) {
        let limits = self.limits;
        if let Some(account) = self.accounts.get_mut(peer) {
            account.shut_out = None;
            account.slowed = None;
            account
                .calls
                .set_rate(limits.of(account.stranger).calls_per_second);
        }
    }

    /// Gives a peer its calls back that is slowed no longer.
    pub(super) fn quicken(&mut self, peer: &PeerId, now: Instant) {
        let limits = self.limits;
        if let Some(account) = self.accounts.get_mut(peer)
            && account.slowed.is_some_and(|until| until <= now)
        {
            account.slowed = None;
            account
                .calls
                .set_rate(limits.of(account.stranger).calls_per_second);
        }
    }
}

/// What is left of a rate to whoever is slowed.
pub(super) fn slow(rate: u32) -> u32 {
    (rate / SLOWED).max(1)
}
