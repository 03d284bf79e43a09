/**
 * ME, at most once: an effect happens once under its key; the effects of a run are undone newest first, each before the record says so,
 * and all of them before the run may be begun again. Seen from the outside world and from the event history.
 */
import type { CompensationCall } from '../../../src/effector/hook.ts';
import type { MachineEvent } from '../../../src/machine/types.ts';
import type { Effect, OutsideEvents, OutsideWorld } from '../ports/outside.ts';
import { type Committed, type Historian, runName } from './history.ts';
import type { Scene } from './oracle.ts';

export class EffectsOnce implements Historian, OutsideEvents {
  readonly id = 'ME';
  readonly #scene: Scene;
  readonly #outside: () => OutsideWorld;
  /** Keys of the effects of each run, by number from 1, as the history tells them. */
  readonly #keys = new Map<string, string[]>();
  /** Who has used a token: one life of one member. */
  readonly #holders = new Map<string, object>();

  constructor(scene: Scene, outside: () => OutsideWorld) {
    this.#scene = scene;
    this.#outside = outside;
  }

  performed(effect: Effect): void {
    if (effect.performed > 1) this.#violate(`${effect.key} of ${effect.loop} was done ${effect.performed} times`);
  }

  /** V4: a token belongs to one leader. */
  called(caller: object, who: string, { loop, phase, token, key }: CompensationCall): void {
    const lock = `${loop} ${phase} ${token}`;
    const holder = this.#holders.get(lock) ?? caller;
    this.#holders.set(lock, holder);
    if (holder !== caller) {
      this.#scene.violate('RT', `${who} calls for ${key} with token ${token}, which another leader has used`);
    }
    if (token % 2 === 0) this.#scene.violate('RT', `${who} calls for ${key} with token ${token}, which is even`);
  }

  undone(effect: Effect, call: CompensationCall): void {
    const keys = this.#keys.get(runName(call)) ?? [];
    const at = keys.indexOf(effect.key);
    if (at < 0) {
      this.#violate(`${effect.key} of ${runName(call)} is undone, and its intent is not in the history`);
      return;
    }
    for (const newer of keys.slice(at + 1)) {
      const other = this.#outside().effect(effect.loop, newer);
      if (other.performed > 0 && !other.undone) {
        this.#violate(`${effect.key} of ${runName(call)} is undone before ${newer}, which is newer`);
      }
    }
  }

  committed({ events }: Committed): void {
    for (const event of events) {
      if (event.kind === 'effect.intent') this.#intent(event);
      else if (event.kind === 'effect.compensated') {
        const [, key = ''] = event.outcome.split(' ');
        if (!this.#outside().effect(event.loop, key).undone) {
          this.#violate(`${key} of ${runName(event)} is on record as compensated, and is not undone`);
        }
      } else if (event.kind === 'phase_recovery.finished' && event.outcome.startsWith('ROLLBACK>CLEAN_EXIT')) {
        for (const key of this.#keys.get(runName(event)) ?? []) {
          const effect = this.#outside().effect(event.loop, key);
          if (effect.performed > 0 && !effect.undone) {
            this.#violate(`${runName(event)} is rolled back, and ${key} is not undone`);
          }
        }
      }
    }
  }

  #intent(event: MachineEvent): void {
    const [seq, key = ''] = event.outcome.split(' ');
    const keys = this.#keys.get(runName(event)) ?? [];
    if (Number(seq) !== keys.length + 1) {
      this.#violate(`${key} is effect ${seq} of ${runName(event)}, after ${keys.length} others`);
    }
    keys.push(key);
    this.#keys.set(runName(event), keys);
  }

  #violate(text: string): void {
    this.#scene.violate('ME', text);
  }
}
