/** A TCP relay that can be cut: every connection through it ends at once, and new ones are taken again. */
import { connect, createServer, type Server, type Socket } from 'node:net';

export class TcpProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly port: number;
  /** Bytes that went through to the target. */
  bytes = 0;
  /** Cut when so many bytes went through: ascending. */
  cutAt: number[] = [];
  cuts = 0;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    const proxy = new TcpProxy(server, typeof address === 'object' && address !== null ? address.port : 0);
    server.on('connection', (incoming) => proxy.#relay(incoming, targetPort));
    return proxy;
  }

  #relay(incoming: Socket, targetPort: number): void {
    const outgoing = connect(targetPort, '127.0.0.1');
    incoming.on('data', (data) => {
      this.bytes += data.length;
      if (this.bytes < (this.cutAt[0] ?? Number.POSITIVE_INFINITY)) return;
      this.cutAt.shift();
      this.cut();
    });
    for (const [one, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      this.#sockets.add(one);
      one.setNoDelay(true);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
  }

  /** Ends every connection, as a broken cable would be noticed by both ends at once. */
  cut(): void {
    this.cuts += 1;
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cutAt = [];
    this.cut();
    await new Promise((done) => this.#server.close(done));
  }
}
