/** Compensators for tests: real servers on loopback. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CompensationCall } from '../../src/effector/hook.ts';
import type { FencingToken } from '../../src/types/ids.ts';

export function aCall(fields: Partial<CompensationCall> = {}): CompensationCall {
  return {
    target: 'http://127.0.0.1:1/',
    key: 'vm-1',
    token: 41 as FencingToken,
    attempt: 1,
    deadlineMs: 2_000,
    confirmed: true,
    loop: 'loop',
    g: 3,
    phase: 'CONSTRUCT',
    traceId: 'trace',
    payload: '{"vm":1}',
    ...fields,
  };
}

export interface Heard {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Answer = (heard: Heard, response: ServerResponse) => void;

/** Hears every request to its end, then answers as it was told. */
export class HookServer {
  readonly heard: Heard[] = [];
  answer: Answer;
  readonly #server: Server;

  private constructor(server: Server, answer: Answer) {
    this.#server = server;
    this.answer = answer;
  }

  static async listen(answer: Answer, server: Server = createServer()): Promise<HookServer> {
    const hook = new HookServer(server, answer);
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => {
        const { method = '', url = '', headers } = request;
        const heard = { method, url, headers, body: Buffer.concat(pieces).toString('utf8') };
        hook.heard.push(heard);
        hook.answer(heard, response);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return hook;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(path = '/undo'): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export const status =
  (code: number, body = '', headers: Record<string, string> = {}): Answer =>
  (_heard, response) => {
    response.writeHead(code, headers).end(body);
  };
