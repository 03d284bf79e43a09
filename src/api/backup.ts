/**
 * A backup as a stream: the bytes of a backup file, made while the member works.
 *
 * B1  At most one piece is in memory: nothing is read from the image while the client's window is full.
 * B2  The stream ends with OK only after the whole file was handed over; the file's own trailer says the same once more.
 * B3  However it ends, the image is closed: it holds disk space. A client that takes nothing for BACKUP_STALL_MS is given up.
 * B4  At most IMAGES_MAX backups run at a time: a client that reads slowly, on and on, holds an image as long as it likes.
 */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { type BackupInfo, BackupResponseSchema, MaintenanceService } from '../gen/quorate/v1/maintenance_pb.ts';
import type { MemberPort } from '../node/types.ts';
import { encodeMessage } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { backupBytes } from '../snapshot/backup.ts';
import { DATA_STREAM } from '../types/ids.ts';
import { IMAGES_MAX } from '../types/limits.ts';
import type { ApiContext } from './context.ts';
import { failure, memberRemoved } from './errors.ts';
import { checkMetadata, decodeRequest } from './unary.ts';

/** Longest time for which a client may take nothing, milliseconds: the image that it reads from holds disk space. */
const BACKUP_STALL_MS = 60_000;
/** Clients of other languages accept messages of 4 MiB. */
const DATA_BYTES_MAX = 1024 * 1024;

type Image = NonNullable<Awaited<ReturnType<MemberPort['openImage']>>>;
type Call = ServerWritableStream<Buffer, Buffer>;

export function backupHandler(context: ApiContext): (call: Call) => void {
  let running = 0;
  return (call) => {
    const refusal = admit(call) ?? (running < IMAGES_MAX ? null : tooMany(context));
    if (refusal !== null) {
      // How grpc-js ends a server stream with a status.
      call.emit('error', refusal);
      return;
    }
    const stream = new BackupStream(context, call);
    running += 1;
    stream
      .run()
      .catch((error: unknown) => {
        context.logger.error({ err: error, method: 'Backup' }, 'a backup failed');
        const why = error instanceof Error ? error.message : String(error);
        stream.fail(
          failure(
            'BACKUP_FAILED',
            `member ${context.memberId} could not read its state (${why}); try again, or ask another member`,
          ),
        );
      })
      .finally(() => {
        running -= 1;
      });
  };
}

function tooMany({ memberId }: ApiContext): StatusError {
  return failure(
    'OVERLOADED',
    `member ${memberId} has ${IMAGES_MAX} backups under way; use another member, or try later`,
  );
}

function admit(call: Call): StatusError | null {
  const tooLarge = checkMetadata(call.metadata);
  if (tooLarge !== null) return tooLarge;
  const request = decodeRequest(MaintenanceService.method.backup, call.request);
  return request.ok ? null : request.error;
}

class BackupStream {
  readonly #context: ApiContext;
  readonly #call: Call;
  #over = false;
  /** Wakes `#drained` when the client can take more, or has gone. */
  #wake: (() => void) | null = null;

  constructor(context: ApiContext, call: Call) {
    this.#context = context;
    this.#call = call;
    call.on('cancelled', () => this.#finish());
    call.on('drain', () => this.#wake?.());
  }

  /** Resolves when it is over; rejects when the image cannot be read. */
  async run(): Promise<void> {
    const { member, memberId } = this.#context;
    if (member.status(DATA_STREAM).removed) {
      this.fail(memberRemoved(memberId));
      return;
    }
    const image = await member.openImage(DATA_STREAM);
    if (image === null) {
      this.fail(failure('SHUTTING_DOWN', `member ${memberId} is stopping, or has no state yet; ask another member`));
      return;
    }
    try {
      await this.#send(image);
    } finally {
      await image.close();
    }
  }

  fail(error: StatusError): void {
    if (this.#finish()) this.#call.emit('error', error);
  }

  async #send(image: Image): Promise<void> {
    const { clusterId, memberId, member, version } = this.#context;
    const { featureLevel } = member.status(DATA_STREAM);
    const createdAtMs = Date.now();
    const { index, term } = image.mark;
    const info: BackupInfo = {
      $typeName: 'quorate.v1.BackupInfo',
      clusterId,
      memberId,
      index: BigInt(index),
      term: BigInt(term),
      featureLevel,
      version,
      createdAtMs: BigInt(createdAtMs),
      estimatedBytes: BigInt(image.bytesEstimate ?? 0),
    };
    await this.#write({ info, data: new Uint8Array() });
    const origin = { clusterId, memberId, stream: DATA_STREAM, createdAtMs, version };
    for await (const piece of backupBytes(image, origin)) {
      for (let at = 0; at < piece.length; at += DATA_BYTES_MAX) {
        if (this.#over) return;
        await this.#write({ data: piece.subarray(at, at + DATA_BYTES_MAX) });
      }
    }
    if (this.#finish()) this.#call.end();
  }

  /** Resolves when the client can take more, or has gone. */
  async #write(piece: { info?: BackupInfo; data: Uint8Array }): Promise<void> {
    if (this.#over) return;
    const message = { $typeName: 'quorate.v1.BackupResponse', ...piece } as const;
    const more = this.#call.write(encodeMessage(BackupResponseSchema, message));
    if (!more) await this.#drained();
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const stalled = setTimeout(() => {
        const message = `nothing of the backup was taken for ${BACKUP_STALL_MS} ms; start it again, and read it as it comes`;
        this.fail(failure('BACKUP_FAILED', message));
      }, BACKUP_STALL_MS);
      this.#wake = () => {
        this.#wake = null;
        clearTimeout(stalled);
        resolve();
      };
    });
  }

  /** False when it was over before. */
  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#wake?.();
    return true;
  }
}
