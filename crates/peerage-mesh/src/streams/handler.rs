//! One connection's side of the streams: offers the protocols, opens what is asked, queues what arrives.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    InboundUpgrade, OutboundUpgrade, Stream, StreamProtocol,
    core::UpgradeInfo,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, ProtocolsChange},
    },
};
use peerage_core::PeerId;
use tokio::sync::{mpsc, oneshot};

use super::{Line, OPEN_TIMEOUT, Open, OpenError, PeerStream, Protocol};
use crate::limits::{Budget, Cause, Standing};

/// Protocols of a peer that are remembered.
const MAX_SPOKEN: usize = 256;

/// Told by the behaviour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep {
    /// Stay, with or without open streams.
    Up,
    /// Close once no stream is open.
    UntilIdle,
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Handler {
    peer: PeerId,
    budget: Budget,
    standing: Arc<Standing>,
    protocols: Arc<[Protocol]>,
    opens: mpsc::Receiver<Open>,
    line: Line,
    /// What the peer has said that it speaks: tells "busy" from "does not speak it". Nothing is taken
    /// back, for whoever is busy says that it no longer speaks the protocol.
    spoken: Vec<StreamProtocol>,
    keep: Keep,
}

impl Handler {
    pub(super) fn new(
        peer: PeerId,
        budget: Budget,
        protocols: Arc<[Protocol]>,
        opens: mpsc::Receiver<Open>,
        line: Line,
    ) -> Self {
        Self {
            peer,
            standing: budget.standing(peer),
            budget,
            protocols,
            opens,
            line,
            spoken: Vec::new(),
            keep: Keep::Up,
        }
    }

    fn arrived(&self, protocol: &StreamProtocol, stream: Stream) {
        let queue = self.protocols.iter().find(|p| p.name == *protocol);
        if let Some(Protocol { queue, .. }) = queue {
            let stream = PeerStream::new(stream, &self.line, None);
            if queue.try_send((self.peer, stream)).is_ok() {
                return;
            }
        }
        // Dropping the stream resets it, so that the other side hears of it at once.
        self.budget.refused(self.peer, Cause::Queue);
        tracing::debug!(peer = %self.peer, %protocol, "refused a stream: no room");
    }

    fn why(&self, error: StreamUpgradeError<Infallible>, protocol: &StreamProtocol) -> OpenError {
        match error {
            StreamUpgradeError::Timeout => OpenError::Timeout,
            StreamUpgradeError::NegotiationFailed if self.spoken.contains(protocol) => {
                OpenError::Busy(protocol.to_string())
            }
            StreamUpgradeError::NegotiationFailed => OpenError::Unsupported(protocol.to_string()),
            StreamUpgradeError::Io(error) => OpenError::Broken(error.to_string()),
            StreamUpgradeError::Apply(never) => match never {},
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.line.ended.cancel();
    }
}

/// Who waits for a stream that is being opened.
pub(crate) type Waiting = (StreamProtocol, oneshot::Sender<Result<Stream, OpenError>>);

impl ConnectionHandler for Handler {
    type FromBehaviour = Keep;
    type ToBehaviour = Infallible;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Waiting;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        let free = !self.standing.is_full();
        let open = self
            .protocols
            .iter()
            .filter(|p| free && p.queue.capacity() > 0 && !p.queue.is_closed())
            .map(|p| p.name.clone())
            .collect();
        SubstreamProtocol::new(Offer(open), ()).with_timeout(OPEN_TIMEOUT)
    }

    fn connection_keep_alive(&self) -> bool {
        matches!(self.keep, Keep::Up)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Offer, Waiting, Infallible>> {
        while let Poll::Ready(Some(Open { protocol, reply })) = self.opens.poll_recv(cx) {
            if reply.is_closed() {
                continue;
            }
            let offer = Offer(vec![protocol.clone()]);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(offer, (protocol, reply))
                    .with_timeout(OPEN_TIMEOUT),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, keep: Keep) {
        self.keep = keep;
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), Waiting>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (protocol, stream),
                ..
            }) => self.arrived(&protocol, stream),
            ConnectionEvent::FullyNegotiatedOutbound(opened) => {
                let ((_, stream), (_, reply)) = (opened.protocol, opened.info);
                // Whoever asked may have gone; the stream is then reset by being dropped.
                let _ = reply.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError {
                info: (protocol, reply),
                error,
            }) => {
                let _ = reply.send(Err(self.why(error, &protocol)));
            }
            ConnectionEvent::RemoteProtocolsChange(ProtocolsChange::Added(added)) => {
                for protocol in added {
                    if self.spoken.len() < MAX_SPOKEN && !self.spoken.contains(protocol) {
                        self.spoken.push(protocol.clone());
                    }
                }
            }
            _ => {}
        }
    }
}

/// Offers protocols by name and yields the one agreed on with the bare stream.
#[derive(Debug)]
pub(crate) struct Offer(Vec<StreamProtocol>);

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((protocol, stream)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((protocol, stream)))
    }
}
