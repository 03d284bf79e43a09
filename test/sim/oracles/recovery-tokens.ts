/**
 * RT, the recovery lock (V4): its token rises with every change and never falls, is odd exactly while one recovery of the phase is
 * active, and that recovery carries it. A takeover that was carried out has raised it. Read from the rows after each entry.
 */
import type { MachineView } from '../../../src/machine/api.ts';
import { type Committed, type Historian, runName } from './history.ts';
import type { Scene } from './oracle.ts';

/** Above every key. */
const END = '\u007f';

export class RecoveryTokens implements Historian {
  readonly id = 'RT';
  readonly #scene: Scene;
  #tokens: ReadonlyMap<string, number> = new Map();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  committed({ index, command, view }: Committed): void {
    const { recoveryLock } = view.rows;
    if (recoveryLock.size === 0) return;
    const before = this.#tokens;
    const now = new Map(recoveryLock.range('', END, recoveryLock.size).map(([lock, { token }]) => [lock, token]));
    this.#tokens = now;
    for (const [lock, token] of before) {
      if ((now.get(lock) ?? 0) < token)
        this.#violate(index, `the lock of ${lock} falls from ${token} to ${now.get(lock)}`);
    }
    for (const [lock, token] of now) {
      if (token !== before.get(lock) && Math.floor(token / 2) !== index) {
        this.#violate(index, `the lock of ${lock} becomes ${token}, which is not of this revision`);
      }
    }
    this.#checkHolders(index, view, now);
    const body = command?.body;
    if (body?.kind !== 'takeOverRecovery') return;
    const lock = `${body.ref.loop} ${body.ref.phase}`;
    const held = before.get(lock) ?? 0;
    if (held % 2 === 1 && held === body.token && now.get(lock) === held) {
      this.#violate(index, `${runName(body.ref)} is taken over with token ${held}, which stays`);
    }
  }

  #checkHolders(index: number, view: MachineView, tokens: ReadonlyMap<string, number>): void {
    const { recovery } = view.rows;
    const held = new Set<string>();
    for (const [, row] of recovery.range('', END, recovery.size)) {
      if (row.state !== 'RECONCILE' && row.state !== 'ROLLBACK') continue;
      const lock = `${row.loop} ${row.phase}`;
      const token = tokens.get(lock) ?? 0;
      if (held.has(lock)) this.#violate(index, `two recoveries of ${lock} are active`);
      held.add(lock);
      if (row.token !== token)
        this.#violate(index, `${runName(row)} is active with ${row.token}, its lock is ${token}`);
    }
    for (const [lock, token] of tokens) {
      if ((token % 2 === 1) !== held.has(lock)) {
        this.#violate(index, `the lock of ${lock} is ${token}, and ${held.has(lock) ? 'a' : 'no'} recovery is active`);
      }
    }
  }

  #violate(index: number, text: string): void {
    this.#scene.violate('RT', `after entry ${index} ${text}`);
  }
}
