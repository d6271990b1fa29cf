// A js-libp2p node as an application would make one: mDNS, identify, ping, and HTTP over streams.
//
//   node peer.js --transport tcp|quic --ours PEER_ID [--dial]
//
// Looks for the peer PEER_ID, dials it when told to, and then pings it and reads its card. It serves what our
// node reads: a signed card, and an MCP server. What happens is told on standard output, one JSON object a line;
// a line on standard input asks for one more ping. Ends when standard input does.
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

import { noise } from '@chainsafe/libp2p-noise'
import { quic } from '@chainsafe/libp2p-quic'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { http } from '@libp2p/http'
import { streamToSocket } from '@libp2p/http-utils'
import { identify } from '@libp2p/identify'
import { mdns } from '@libp2p/mdns'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { base58btc } from 'multiformats/bases/base58'
import { z } from 'zod'

const CARD = '/.well-known/agent-card.json'
const EXTENSION = 'https://peerage.dev/extensions/node/v1'

const { values: options } = parseArgs({
  options: { transport: { type: 'string' }, ours: { type: 'string' }, dial: { type: 'boolean', default: false } }
})

const tell = (event, more = {}) => console.log(JSON.stringify({ event, ...more }))
const failed = (what) => (error) => tell('failed', { what, error: String(error) })

// As RFC 8785 has it for what stands on this card: no numbers but integers, no text but ASCII.
const canonical = (value) => {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join()}}`
}

const encode = (bytes) => Buffer.from(bytes).toString('base64url')

// An A2A agent card, signed with the key of the libp2p node.
const card = async (key, peer) => {
  const did = `did:key:${base58btc.encode(Uint8Array.from([0xed, 0x01, ...key.publicKey.raw]))}`
  const now = Math.floor(Date.now() / 1000)
  const params = { peerId: peer, did, issuedAt: now, expiresAt: now + 6 * 3600, mcpServers: [{ name: 'adder' }] }
  const content = {
    name: 'javascript',
    description: 'A js-libp2p node',
    version: '1.0.0',
    capabilities: { extensions: [{ uri: EXTENSION, params }] },
    defaultInputModes: ['text/plain'],
    defaultOutputModes: ['text/plain'],
    skills: [{ id: 'adder', name: 'adder', description: 'Adds', tags: ['mcp'] }]
  }
  const header = encode(JSON.stringify({ alg: 'EdDSA', kid: `${did}#${did.slice('did:key:'.length)}`, typ: 'JOSE' }))
  const signature = await key.sign(Buffer.from(`${header}.${encode(canonical(content))}`))
  return { ...content, signatures: [{ protected: header, signature: encode(signature) }] }
}

const adder = createMcpHandler(() => {
  const server = new McpServer({ name: 'adder', version: '1.0.0' })
  const inputSchema = z.object({ a: z.number(), b: z.number() })
  server.registerTool('add', { description: 'Adds two numbers', inputSchema }, ({ a, b }) => ({
    content: [{ type: 'text', text: String(a + b) }]
  }))
  return server
})

// What @libp2p/http has no route for, it hands to a web server: here that of Node, as with Express or Fastify.
const web = createServer(toNodeHandler(adder))
const server = {
  inject: async (info, stream, connection) => {
    const socket = streamToSocket(stream, connection)
    socket.unshift(info.raw.subarray())
    web.emit('connection', socket)
  }
}

// What mDNS itself has found; the node's own `peer:discovery` leaves out peers that have already dialled in.
const found = (components) => {
  const discovery = mdns()(components)
  discovery.addEventListener('peer', ({ detail: peer }) => {
    if (peer.id.toString() !== options.ours) return
    tell('found', { addresses: peer.multiaddrs.map(String) })
    if (options.dial && node.getConnections(peer.id).length === 0) node.dial(peer.multiaddrs).catch(failed('dial'))
  })
  return discovery
}

const privateKey = await generateKeyPair('Ed25519')
const onTcp = options.transport === 'tcp'
const node = await createLibp2p({
  privateKey,
  start: false,
  addresses: { listen: [onTcp ? '/ip4/0.0.0.0/tcp/0' : '/ip4/0.0.0.0/udp/0/quic-v1'] },
  transports: [onTcp ? tcp() : quic()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  peerDiscovery: [found],
  services: { identify: identify(), ping: ping(), http: http({ server }) }
})

const me = node.peerId.toString()
const served = JSON.stringify(await card(privateKey, me))
node.services.http.handle(CARD, {
  path: CARD,
  handler: async () => new Response(served, { headers: { 'Content-Type': 'application/json' } })
})

const pingOurs = async () => tell('ping', { ms: await node.services.ping.ping(node.getConnections()[0].remotePeer) })

// With the HTTP client of js-libp2p, on a stream that it opens over the connection that is there.
const readCard = async () => {
  const path = encodeURIComponent(CARD.slice(1))
  const response = await node.services.http.fetch(multiaddr(`/p2p/${options.ours}/http-path/${path}`))
  tell('card', { status: response.status, body: await response.text() })
}

let first = true
node.addEventListener('connection:open', ({ detail: connection }) => {
  if (connection.remotePeer.toString() !== options.ours) return
  tell('connected', { addresses: [connection.remoteAddr.toString()], direction: connection.direction })
  if (!first) return
  first = false
  pingOurs().catch(failed('ping'))
  readCard().catch(failed('card'))
})
// The last connection to the peer has ended.
node.addEventListener('peer:disconnect', ({ detail: peer }) => {
  if (peer.toString() === options.ours) tell('lost')
})

await node.start()
tell('ready', { peer: me, addresses: node.getMultiaddrs().map(String) })

for await (const _ of createInterface({ input: process.stdin })) pingOurs().catch(failed('ping'))
await node.stop()
process.exit()
