//! Noise or TLS 1.3, whichever the two ends of a connection agree on.

use std::io;

use futures::{
    AsyncRead, AsyncWrite, FutureExt, TryFutureExt,
    future::{BoxFuture, Either},
};
use libp2p::{
    PeerId,
    core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
    identity::Keypair,
    noise, tls,
};

use super::TransportError;

/// See the module's page. Noise comes first: it is never slower than TLS in our measurements, and every
/// libp2p speaks it.
#[derive(Clone)]
pub(super) struct Security {
    noise: noise::Config,
    tls: tls::Config,
}

impl Security {
    pub(super) fn new(keypair: &Keypair) -> Result<Self, TransportError> {
        Ok(Self {
            noise: noise::Config::new(keypair).map_err(TransportError::of)?,
            tls: tls::Config::new(keypair).map_err(TransportError::of)?,
        })
    }

    fn is_noise(&self, agreed: &str) -> bool {
        self.noise.protocol_info().any(|name| name == agreed)
    }
}

/// The peer, and the connection with it.
type Secured<C> = (PeerId, Either<noise::Output<C>, tls::TlsStream<C>>);

impl UpgradeInfo for Security {
    type Info = &'static str;
    type InfoIter = std::vec::IntoIter<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        let both: Vec<_> = self
            .noise
            .protocol_info()
            .chain(self.tls.protocol_info())
            .collect();
        both.into_iter()
    }
}

impl<C> InboundConnectionUpgrade<C> for Security
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Secured<C>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Secured<C>>>;

    fn upgrade_inbound(self, socket: C, agreed: &'static str) -> Self::Future {
        if self.is_noise(agreed) {
            let secured = self.noise.upgrade_inbound(socket, agreed);
            let secured = secured.map_ok(|(peer, io)| (peer, Either::Left(io)));
            return secured.map_err(io::Error::other).boxed();
        }
        let secured = self.tls.upgrade_inbound(socket, agreed);
        let secured = secured.map_ok(|(peer, io)| (peer, Either::Right(io)));
        secured.map_err(io::Error::other).boxed()
    }
}

impl<C> OutboundConnectionUpgrade<C> for Security
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Secured<C>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Secured<C>>>;

    fn upgrade_outbound(self, socket: C, agreed: &'static str) -> Self::Future {
        if self.is_noise(agreed) {
            let secured = self.noise.upgrade_outbound(socket, agreed);
            let secured = secured.map_ok(|(peer, io)| (peer, Either::Left(io)));
            return secured.map_err(io::Error::other).boxed();
        }
        let secured = self.tls.upgrade_outbound(socket, agreed);
        let secured = secured.map_ok(|(peer, io)| (peer, Either::Right(io)));
        secured.map_err(io::Error::other).boxed()
    }
}
