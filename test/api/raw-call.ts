/** Calls as bytes over HTTP/2, of clients that do what no library does. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from 'node:http2';
import { create, fromBinary } from '@bufbuild/protobuf';
import { StatusSchema } from '../../src/gen/google/rpc/status_pb.ts';
import { type ParsedStatus, parseStatusMessage } from '../../src/rpc/status.ts';

/** RST_STREAM (RFC 9113, section 7). */
export const CANCEL = 8;

export interface RawCall {
  readonly stream: ClientHttp2Stream;
  /** When the head of an answer has come, which needs no window. */
  readonly answering: Promise<unknown>;
  /** What the call ended with; null: without a status. */
  readonly status: Promise<ParsedStatus | null>;
  /** When it is closed: the code of its RST_STREAM. */
  readonly closed: Promise<number>;
  /** Messages that left. */
  sent: number;
  send(message: Uint8Array): void;
  write(bytes: Uint8Array): void;
}

export class RawClient {
  readonly address: string;
  readonly #session: ClientHttp2Session;

  /** `window`: bytes of answers that each call takes before anybody listens to it. */
  constructor(address: string, window = 65_535) {
    this.address = address;
    this.#session = connect(`http://${address}`, { settings: { initialWindowSize: window } });
    this.#session.on('error', () => undefined);
  }

  call(path: string, headers: OutgoingHttpHeaders = {}): RawCall {
    const grpc = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' };
    const stream = this.#session.request({ ...grpc, ...headers }, { endStream: false });
    stream.on('error', () => undefined);
    let status: ParsedStatus | null = null;
    const onHeaders = (seen: object): void => {
      const { 'grpc-status': code, 'grpc-status-details-bin': details, 'grpc-message': text } = seen as GrpcHeaders;
      if (code === undefined) return;
      const bare = create(StatusSchema, { code: Number(code), message: decodeURI(text ?? '') });
      status = parseStatusMessage(
        details === undefined ? bare : fromBinary(StatusSchema, Buffer.from(details, 'base64')),
      );
    };
    stream.on('response', onHeaders);
    stream.on('trailers', onHeaders);
    const answering = new Promise((resolve) => stream.once('response', resolve));
    const closed = new Promise<number>((resolve) => stream.once('close', () => resolve(stream.rstCode)));
    const ended = new Promise<ParsedStatus | null>((resolve) => {
      stream.once('trailers', () => resolve(status));
      stream.once('response', () => status !== null && resolve(status));
      stream.once('close', () => resolve(status));
    });
    const call: RawCall = {
      stream,
      answering,
      status: ended,
      closed,
      sent: 0,
      send: (message) =>
        stream.write(framed(message), (error) => {
          if (error == null) call.sent += 1;
        }),
      write: (bytes) => void stream.write(bytes),
    };
    return call;
  }

  /** All calls together take so many bytes. */
  openConnection(window: number): Promise<void> {
    return new Promise((resolve) => {
      const open = (): void => {
        this.#session.setLocalWindowSize(window);
        resolve();
      };
      if (this.#session.connecting) this.#session.once('connect', open);
      else open();
    });
  }

  /** Calls take so many bytes from now on. */
  open(window: number): void {
    this.#session.settings({ initialWindowSize: window });
  }

  close(): void {
    this.#session.destroy();
  }
}

interface GrpcHeaders {
  readonly 'grpc-status'?: string;
  readonly 'grpc-message'?: string;
  readonly 'grpc-status-details-bin'?: string;
}

export function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
