"""A py-libp2p node as an application would make one: mDNS, identify, ping.

    peer.py --transport tcp|quic --ours PEER_ID [--dial]

Looks for the peer PEER_ID, dials it when told to, and then pings it and reads its card over a stream it opens. What
happens is told on standard output, one JSON object a line; a line on standard input asks for one more ping. Ends when
standard input does.
"""

import argparse
import json
import os
import sys

import h11
import multiaddr
import trio
from libp2p import create_new_ed25519_key_pair, new_host
from libp2p.abc import INotifee
from libp2p.discovery.events.peerDiscovery import peerDiscovery
from libp2p.host.ping import PingService
from libp2p.peer.id import ID

CARD = "/.well-known/agent-card.json"
HTTP = "/http/1.1"
LISTEN = {"tcp": "/ip4/0.0.0.0/tcp/0", "quic": "/ip4/0.0.0.0/udp/0/quic-v1"}


def tell(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


class Node:
    def __init__(self, options, nursery):
        self.ours = ID.from_string(options.ours)
        self.dials = options.dial
        self.nursery = nursery
        self.first = True
        self.host = new_host(
            key_pair=create_new_ed25519_key_pair(),
            listen_addrs=[multiaddr.Multiaddr(LISTEN[options.transport])],
            enable_quic=options.transport == "quic",
            enable_mDNS=True,
        )
        self.ping_service = PingService(self.host)
        trio_token = trio.lowlevel.current_trio_token()
        # Called by the thread of the library's mDNS.
        peerDiscovery.register_peer_discovered_handler(lambda peer: trio_token.run_sync_soon(self.found, peer))

    def start(self, what, task):
        async def told():
            try:
                with trio.fail_after(30):
                    await task()
            except Exception as error:
                tell("failed", what=what, error=repr(error))

        self.nursery.start_soon(told)

    def found(self, peer):
        if peer.peer_id != self.ours:
            return
        tell("found", addresses=[str(address) for address in peer.addrs])
        if self.dials and not self.host.is_peer_connected(self.ours):
            self.start("dial", lambda: self.host.connect(peer))

    def connected(self, connection):
        if connection.muxed_conn.peer_id != self.ours:
            return
        direction = "outbound" if connection.muxed_conn.is_initiator else "inbound"
        addresses = [str(address) for address in connection.get_transport_addresses()]
        tell("connected", addresses=addresses, direction=direction)
        if self.first:
            self.first = False
            self.start("ping", self.ping)
            self.start("card", self.read_card)

    def disconnected(self):
        if not self.host.is_peer_connected(self.ours):
            tell("lost")

    async def ping(self):
        for rtt in await self.ping_service.ping(self.ours):
            tell("ping", ms=rtt)

    async def read_card(self):
        stream = await self.host.new_stream(self.ours, [HTTP])
        http = h11.Connection(h11.CLIENT)
        headers = [("Host", str(self.ours)), ("Accept", "application/json")]
        await stream.write(http.send(h11.Request(method="GET", target=CARD, headers=headers)))
        await stream.write(http.send(h11.EndOfMessage()) or b"")
        status, body = None, b""
        while True:
            match http.next_event():
                case h11.Response() as response:
                    status = response.status_code
                case h11.Data() as data:
                    body += data.data
                case h11.EndOfMessage():
                    break
                case h11.NEED_DATA:
                    http.receive_data(await stream.read(65536))
                case event:
                    raise RuntimeError(f"no answer: {event!r}")
        await stream.close()
        tell("card", status=status, body=body.decode())


class Watcher(INotifee):
    """Tells of the connections of a host."""

    def __init__(self, node):
        self.node = node

    async def connected(self, network, conn):
        self.node.connected(conn)

    async def disconnected(self, network, conn):
        self.node.disconnected()

    async def opened_stream(self, network, stream):
        pass

    async def closed_stream(self, network, stream):
        pass

    async def listen(self, network, multiaddr):
        pass

    async def listen_close(self, network, multiaddr):
        pass


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transport", choices=LISTEN, required=True)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--dial", action="store_true")
    options = parser.parse_args()
    async with trio.open_nursery() as nursery:
        node = Node(options, nursery)
        node.host.get_network().register_notifee(Watcher(node))
        listen = [multiaddr.Multiaddr(LISTEN[options.transport])]
        async with node.host.run(listen_addrs=listen):
            addresses = [str(address) for address in node.host.get_addrs()]
            tell("ready", peer=str(node.host.get_id()), addresses=addresses)
            stdin = trio.wrap_file(sys.stdin)
            while await stdin.readline():
                node.start("ping", node.ping)
            nursery.cancel_scope.cancel()
    # Its threads of mDNS do not end with it.
    os._exit(0)


trio.run(main)
