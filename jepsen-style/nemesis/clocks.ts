/** Wall clocks that jump, and clocks that run too fast or too slow. */
import { draw, type Fault, minority, type Nemesis, type NemesisContext, SkippedError } from './types.ts';

/** Farthest jump, seconds; drawn on a logarithmic scale, because what breaks at a second may not break at an hour. */
const JUMP_S_MAX = 7_200;
const JUMP_S_MIN = 0.1;

interface ClockChange {
  readonly slot: number;
  readonly jumpS?: number;
  readonly rate?: number;
}

function jumpOf(fault: Fault, index: number): number {
  const size = JUMP_S_MIN * (JUMP_S_MAX / JUMP_S_MIN) ** draw(fault, index);
  return Math.round((draw(fault, index + 1) < 0.5 ? -size : size) * 10) / 10;
}

/** One, a minority, or all of them, each another way. */
function victims(fault: Fault): readonly number[] {
  const counts = [1, minority(fault.order.length), fault.order.length];
  return fault.order.slice(0, counts[Math.floor(draw(fault, 7) * counts.length)] ?? 1);
}

function clockNemesis(
  name: string,
  describe: string,
  change: (fault: Fault, slot: number, index: number) => ClockChange,
): Nemesis {
  return {
    name,
    describe,
    needs: ['faketime'],
    lengthMs: [4_000, 15_000],
    begin: async ({ clocks }: NemesisContext, fault) => {
      if (clocks === null) throw new SkippedError('members were started with true clocks');
      const changes = victims(fault).map((slot, index) => change(fault, slot, index));
      for (const { slot, jumpS, rate } of changes) {
        if (jumpS !== undefined) clocks[slot]?.jump(jumpS);
        if (rate !== undefined) clocks[slot]?.rate(rate);
      }
      const end = async (): Promise<void> => {
        for (const { slot } of changes) clocks[slot]?.reset();
      };
      return { value: { clocks: changes }, disabled: [], end };
    },
  };
}

export const CLOCKS: readonly Nemesis[] = [
  clockNemesis('clock-jump', 'wall clocks are set forward or back, up to two hours', (fault, slot, index) => ({
    slot,
    jumpS: jumpOf(fault, index),
  })),
  clockNemesis('clock-rate', 'wall clocks run at half to double speed', (fault, slot, index) => ({
    slot,
    rate: Math.round((0.5 + draw(fault, index) * 1.5) * 100) / 100,
  })),
];
