/**
 * The world outside of the cluster: what agents do there, each effect under its key, and what compensators undo. It behaves as a
 * receiver should (docs/recovery.md): it undoes a key once, says so again when it is asked again, refuses a token below one that it
 * has seen for the phase, and does not do afterwards what was undone before it happened.
 */
import type { CallOutcome, CompensationCall, Hook } from '../../../src/effector/hook.ts';
import type { Clock } from '../../../src/ports/clock.ts';
import type { Prng } from '../kernel/prng.ts';
import type { World } from '../kernel/world.ts';
import type { OutsideOptions } from '../recovery-options.ts';

export interface Effect {
  readonly loop: string;
  readonly key: string;
  /** Times that it was done. */
  performed: number;
  undone: boolean;
}

/** Who watches the world. */
export interface OutsideEvents {
  performed(effect: Effect): void;
  /** A call leaves a member; `caller` is a life of a process. */
  called(caller: object, who: string, call: CompensationCall): void;
  /** The effect is undone, for the first time, by this call. */
  undone(effect: Effect, call: CompensationCall): void;
}

export class OutsideWorld {
  readonly counts = new Map<string, number>();
  readonly #world: World;
  readonly #prng: Prng;
  readonly #options: OutsideOptions;
  readonly #events: OutsideEvents;
  readonly #effects = new Map<string, Effect>();
  /** Highest token seen, by loop and phase. */
  readonly #tokens = new Map<string, number>();
  /** By target: whether it is down. */
  readonly #down = new Map<string, boolean>();
  #healed = false;

  constructor(world: World, prng: Prng, options: OutsideOptions, events: OutsideEvents) {
    this.#world = world;
    this.#prng = prng;
    this.#options = options;
    this.#events = events;
  }

  heal(): void {
    this.#healed = true;
  }

  effect(loop: string, key: string): Effect {
    const name = `${loop} ${key}`;
    const known = this.#effects.get(name);
    if (known !== undefined) return known;
    const effect: Effect = { loop, key, performed: 0, undone: false };
    this.#effects.set(name, effect);
    return effect;
  }

  /** An agent does it. False: it was undone already, and nothing happens. */
  async perform(loop: string, key: string): Promise<boolean> {
    await this.#world.sleep(this.#delayUs());
    const effect = this.effect(loop, key);
    if (effect.undone) return false;
    effect.performed += 1;
    this.#count('performed');
    this.#events.performed(effect);
    return true;
  }

  /** The way to it from one life of a member. */
  hook(caller: object, who: string, clock: Clock): Hook {
    return {
      call: (call, signal) => {
        this.#events.called(caller, who, call);
        return new Promise((resolve) => {
          let open = true;
          const end = (outcome: CallOutcome): void => {
            if (!open) return;
            open = false;
            cancel();
            this.#world.note(who, 'compensator', call.token, call.attempt, outcome.kind.length, { call, outcome });
            resolve(outcome);
          };
          const cancel = clock.after(call.deadlineMs, () => end({ kind: 'failed', error: 'no answer in time' }));
          signal.addEventListener('abort', () => end({ kind: 'failed', error: 'the member stops' }), { once: true });
          this.#send(call, (outcome) => clock.after(0, () => end(outcome)));
        });
      },
    };
  }

  /** What was sent arrives whatever becomes of the sender. `answer` may find nobody there. */
  #send(call: CompensationCall, answer: (outcome: CallOutcome) => void): void {
    if (this.#chance(this.#options.lostPermille)) {
      this.#count('call lost');
      return;
    }
    const straggles = this.#chance(this.#options.straggledPermille);
    const delayUs = straggles ? this.#prng.below(this.#options.stragglerMaxUs) : this.#delayUs();
    this.#world.after(delayUs, null, () => {
      const outcome = this.#receive(call);
      this.#count(`compensator ${outcome.kind}`);
      if (this.#chance(this.#options.lostPermille)) return;
      this.#world.after(this.#delayUs(), null, () => answer(outcome));
    });
  }

  #receive(call: CompensationCall): CallOutcome {
    const { loop, phase, token, key, target } = call;
    const lock = `${loop} ${phase}`;
    const seen = this.#tokens.get(lock) ?? 0;
    if (token < seen) return { kind: 'stale' };
    this.#tokens.set(lock, token);
    if (this.#isDown(target) || this.#chance(this.#options.failedPermille)) {
      return { kind: 'failed', error: 'out of order' };
    }
    const effect = this.effect(loop, key);
    if (!effect.undone) {
      effect.undone = true;
      this.#events.undone(effect, call);
    }
    return { kind: 'done' };
  }

  #isDown(target: string): boolean {
    if (this.#healed) return false;
    const known = this.#down.get(target) ?? this.#prng.chance(this.#options.downPermille);
    this.#down.set(target, known);
    return known;
  }

  #chance(permille: number): boolean {
    return !this.#healed && this.#prng.chance(permille);
  }

  #delayUs(): number {
    return this.#prng.below(this.#options.delayMaxUs) + 1;
  }

  #count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }
}
