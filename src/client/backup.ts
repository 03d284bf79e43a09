/** A backup as it comes from one member. It is of one moment, so it does not go on at another member: it starts anew. */
import { MaintenanceService } from '../gen/quorate/v1/maintenance_pb.ts';
import { must } from '../types/assert.ts';
import { type Channels, toFailure } from './channels.ts';
import { toBackupInfo } from './convert.ts';
import { QuorateError } from './errors.ts';
import { backOffMs, type Failure, judge } from './retry.ts';
import type { Router } from './router.ts';
import type { BackupInfo, BackupPiece } from './types.ts';

export interface BackupDeps {
  readonly channels: Channels;
  readonly router: Router;
  readonly nowMs: () => number;
  readonly random: () => number;
  /** Until the first piece, milliseconds. */
  readonly deadlineMs: number;
}

/** A member that says nothing for so long is given up, milliseconds: a stream has no deadline of its own. */
const SILENCE_MS = 30_000;

export async function* backupPieces(
  deps: BackupDeps,
  signal: AbortSignal = new AbortController().signal,
): AsyncGenerator<BackupPiece, void, undefined> {
  const endMs = deps.nowMs() + deps.deadlineMs;
  for (let tries = 0; ; tries++) {
    signal.throwIfAborted();
    const address = deps.router.pickInTurn();
    let begun = false;
    try {
      for await (const piece of attempt(deps, address, signal)) {
        begun = true;
        deps.router.succeeded(address);
        yield piece;
      }
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BrokenOff)) throw error;
      const { failure } = error;
      deps.router.failed(address, failure);
      // A file that was begun is not mixed with one of another moment.
      if (begun || deps.nowMs() >= endMs || judge(failure, 'read', false) !== 'retry') throw failure.error;
      await new Promise((resolve) => setTimeout(resolve, backOffMs(tries, failure.error, deps.random)));
    }
  }
}

class BrokenOff extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.error.message);
    this.failure = failure;
  }
}

async function* attempt(
  { channels }: BackupDeps,
  address: string,
  signal: AbortSignal,
): AsyncGenerator<BackupPiece, void, undefined> {
  const opened = await channels.stream(address, MaintenanceService.method.backup, {}, signal);
  if (!opened.ok) throw new BrokenOff(opened.error);
  const stream = opened.value;
  let silent = false;
  const onSilence = (): void => {
    silent = true;
    stream.cancel();
  };
  const onAbort = (): void => stream.cancel();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) stream.cancel();
  let timer = setTimeout(onSilence, SILENCE_MS);
  let info: BackupInfo | null = null;
  let bytes = 0;
  try {
    for await (const message of stream) {
      clearTimeout(timer);
      const { info: first, data } = message;
      info ??= toBackupInfo(must(first, 'a backup begins with its facts'));
      // How long the caller takes for a piece is the caller's business.
      bytes += data.length;
      yield { info, data, bytes };
      timer = setTimeout(onSilence, SILENCE_MS);
    }
    if (info === null) throw new Error('the member sent nothing');
  } catch (error) {
    if (!silent) throw new BrokenOff(toFailure(error, address));
    const message = `${address}: the member sent nothing for ${SILENCE_MS} ms`;
    throw new BrokenOff({
      kind: 'unknown',
      error: new QuorateError({ reason: 'UNAVAILABLE', message, cause: error }),
      answered: false,
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    stream.cancel();
  }
}
