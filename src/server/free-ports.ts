/**
 * Ports of this machine that nobody uses, for members that may be restarted: from below those that the kernel draws for outgoing
 * connections (Linux: 32768 and up). One of those could be taken by somebody's connection while its member is down, and the
 * member would not come back.
 */
import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

const LOWEST = 15_000;
const HIGHEST = 32_000;
const TRIES = 1_000;

/** All are held at once, so that they differ. Rejects when there are none. */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<readonly number[]> {
  const held: { readonly port: number; readonly server: Server }[] = [];
  try {
    for (let tries = 0; held.length < count; tries++) {
      if (tries === TRIES) throw new Error(`no ${count} free ports between ${LOWEST} and ${HIGHEST} on ${host}`);
      const port = randomInt(LOWEST, HIGHEST + 1);
      const server = await listen(host, port);
      if (server !== null) held.push({ port, server });
    }
    return held.map(({ port }) => port);
  } finally {
    await Promise.all(held.map(({ server }) => new Promise((done) => server.close(done))));
  }
}

/** null: somebody has the port. */
function listen(host: string, port: number): Promise<Server | null> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(null);
      else reject(error);
    });
    server.listen(port, host, () => resolve(server));
  });
}
