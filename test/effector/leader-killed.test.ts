/**
 * The leader is killed at every point of a recovery in turn, with what it was doing in each of the states that the world may be left
 * in. Whoever leads next finishes it, and at the receiver each key has had its effect once, newest first (V3, V4, L2).
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CallOutcome, CompensationCall } from '../../src/effector/hook.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import { Ward } from '../machine/recovery-kit.ts';
import { Receiver, Stage } from './stage.ts';

const EFFECTS = 3;
const NEWEST_FIRST = ['e3', 'e2', 'e1'];

/** What is left of a leader's last deed. */
const DEATHS = {
  proposal: ['lost', 'unheard'],
  /** `delayed`: the old leader was stopped, and its call goes out when all is over. */
  call: ['lost', 'unheard', 'delayed'],
} as const;
type Deed = keyof typeof DEATHS;
type Death = (typeof DEATHS)[Deed][number];

interface Point {
  readonly deed: Deed;
  readonly name: string;
}

class Play {
  readonly stage: Stage;
  readonly receiver = new Receiver();
  /** Every deed of every leader, in order. */
  readonly deeds: Point[] = [];
  readonly #delayed: (() => void)[] = [];
  readonly #tokens: number[] = [];
  #kills: { readonly at: number; readonly death: Death }[];
  #dead = false;

  constructor(kills: readonly { readonly at: number; readonly death: Death }[]) {
    const ward = new Ward();
    ward.put('doc', 'before', 0, false);
    ward.begin('A');
    ward.put('doc', 'inside', 1);
    for (let i = 1; i <= EFFECTS; i++) ward.effect(`e${i}`, i < EFFECTS);
    ward.interrupt();
    this.stage = new Stage(ward);
    this.#kills = [...kills];
    this.stage.fate = (body) => this.#fateOf(body);
    this.receiver.way = (call) => this.#wayOf(call);
  }

  async run(): Promise<void> {
    const { stage } = this;
    stage.lead(stage.driver(this.receiver));
    await stage.until(() => {
      if (this.#dead) {
        this.#dead = false;
        stage.lead(stage.driver(this.receiver));
      }
      return stage.ward.recovery().result !== '';
    });
    for (const go of this.#delayed) go();
    await stage.tick();
    this.#judge();
  }

  #fateOf(body: CommandBody) {
    const death = this.#deathAt({ deed: 'proposal', name: body.kind === 'completeStep' ? body.step : body.kind });
    const { token } = stageRow(this.stage);
    this.#tokens.push(token);
    return death === 'lost' || death === 'unheard' ? death : 'applied';
  }

  #wayOf(call: CompensationCall): Promise<CallOutcome> | null {
    const death = this.#deathAt({ deed: 'call', name: call.key });
    const never = new Promise<CallOutcome>(() => undefined);
    if (death === null) return null;
    if (death === 'unheard') this.receiver.receive(call);
    if (death === 'delayed') this.#delayed.push(() => this.receiver.receive(call));
    return never;
  }

  #deathAt(point: Point): Death | null {
    const at = this.deeds.push(point) - 1;
    const kill = this.#kills.find((one) => one.at === at);
    if (kill === undefined) return null;
    this.#dead = true;
    this.stage.reign?.depose();
    return kill.death;
  }

  #judge(): void {
    const { stage, receiver } = this;
    expect(stage.bugs).toEqual([]);
    const row = stageRow(stage);
    expect([row.state, row.result]).toEqual(['CLEAN_EXIT', 'ROLLED_BACK']);
    expect(stage.ward.run().state).toBe('ABORTED');
    expect(stage.ward.machine.rows.document.get('loop doc')?.content).toBe('before');
    // At most once, and all of them; newest first.
    expect(receiver.undone).toEqual(NEWEST_FIRST);
    // What comes from a leader of old after the new one was heard is refused.
    const heard = receiver.heard.map(({ token }) => token);
    expect(heard).toEqual([...heard].sort((x, y) => x - y));
    // Calls are in the order of the effects, though one may come again.
    const positions = receiver.heard.map(({ key }) => NEWEST_FIRST.indexOf(key));
    expect(positions).toEqual([...positions].sort((x, y) => x - y));
    // V4: the token only rises, and is even when all is over.
    expect(this.#tokens).toEqual([...this.#tokens].sort((x, y) => x - y));
    expect(row.token % 2).toBe(0);
    // The effects are each in their last state.
    const effects = stage.ward.machine.rows.effect.range('', '\u007f', 10).map(([, effect]) => effect.state);
    expect(effects).toEqual(['COMPENSATED', 'COMPENSATED', 'COMPENSATED']);
  }
}

function stageRow(stage: Stage) {
  return stage.ward.recovery();
}

async function deedsOf(kills: ConstructorParameters<typeof Play>[0]): Promise<readonly Point[]> {
  const play = new Play(kills);
  await play.run();
  return play.deeds;
}

describe('V4: the leader is killed', () => {
  test('without a kill there is one deed for each step, and two for each effect', async () => {
    expect((await deedsOf([])).map(({ deed, name }) => `${deed} ${name}`)).toEqual([
      'proposal startRecovery',
      'proposal wal_fsync',
      'proposal checkpoint_flush',
      'proposal vc_merge',
      'call e3',
      'proposal settleCompensation',
      'call e2',
      'proposal settleCompensation',
      'call e1',
      'proposal settleCompensation',
      'proposal sel_compensate',
      'proposal snapshot_apply',
    ]);
  });

  test('at every deed, in every way: the next leader goes on from there', async () => {
    const points = await deedsOf([]);
    let plays = 0;
    for (const [at, { deed }] of points.entries()) {
      for (const death of DEATHS[deed]) {
        await deedsOf([{ at, death }]);
        plays++;
      }
    }
    expect(plays).toBe(9 * 2 + 3 * 3);
  });

  test('and the next leader at every deed of its own', async () => {
    const points = await deedsOf([]);
    for (const [at, { deed }] of points.entries()) {
      const [first] = DEATHS[deed];
      const rest = await deedsOf([{ at, death: first }]);
      for (let second = at + 1; second < rest.length; second++) {
        const deaths = DEATHS[rest[second]?.deed ?? 'proposal'];
        for (const death of deaths) {
          await deedsOf([
            { at, death: first },
            { at: second, death },
          ]);
        }
      }
    }
  });

  test('any number of times', async () => {
    const death = fc.constantFrom<Death>('lost', 'unheard', 'delayed');
    const kills = fc.array(fc.record({ at: fc.nat(40), death }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(kills, async (given) => {
        await deedsOf(given);
      }),
      { numRuns: 150 },
    );
  });
});
