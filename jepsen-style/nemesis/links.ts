/** Links that are slow, lossy or narrow. */
import type { LinkRule } from '../system/network.ts';
import type { Slowness } from '../system/relay.ts';
import { draw, type Fault, type Nemesis, SkippedError } from './types.ts';

type Link = readonly [number, number];

/** All links, or all of one member, in both directions. */
function linksOf(fault: Fault): { readonly links: readonly Link[]; readonly of: number | 'all' } {
  const pairs = fault.order.flatMap((from) => fault.order.flatMap((to) => (from === to ? [] : [[from, to] as const])));
  if (draw(fault, 0) < 0.5) return { links: pairs, of: 'all' };
  const [one = 0] = fault.order;
  return { links: pairs.filter(([from, to]) => from === one || to === one), of: one };
}

/** Between `min` and `max`, as drawn. */
function scaled(fault: Fault, index: number, min: number, max: number): number {
  return Math.round((min + draw(fault, index) * (max - min)) * 1000) / 1000;
}

function filtered(name: string, describe: string, quality: (fault: Fault) => Omit<LinkRule, 'from' | 'to'>): Nemesis {
  return {
    name,
    describe,
    needs: ['namespaces', 'nft'],
    lengthMs: [5_000, 15_000],
    begin: async ({ cluster }, fault) => {
      const { network } = cluster.ground;
      if (network === null) throw new SkippedError('no namespaces');
      const { links, of } = linksOf(fault);
      const how = quality(fault);
      const by = `${name}@${fault.startMs}`;
      await network.disturb(
        by,
        links.map(([from, to]) => ({ from, to, ...how })),
      );
      return { value: { of, ...how }, disabled: [], end: () => network.heal(by) };
    },
  };
}

function slowness(fault: Fault): Slowness {
  const delayMs = Math.round(scaled(fault, 1, 5, 120));
  const jitterMs = Math.round(scaled(fault, 2, 0, 2 * delayMs));
  return { delayMs, jitterMs, loss: scaled(fault, 3, 0, 0.05), duplicate: scaled(fault, 4, 0, 0.1) };
}

const SLOW: Nemesis = {
  name: 'link-slow',
  describe: 'what members send each other is late, overtakes itself, comes twice, and is lost now and then',
  needs: ['namespaces', 'relay'],
  lengthMs: [5_000, 15_000],
  begin: async ({ relay }, fault) => {
    if (relay === null) throw new SkippedError('no namespaces');
    if (relay.busy) throw new SkippedError('links are slow already');
    const { links, of } = linksOf(fault);
    const how = slowness(fault);
    await relay.start(links, how);
    return { value: { of, ...how }, disabled: [], end: () => relay.stop() };
  },
};

export const LINKS: readonly Nemesis[] = [
  filtered('link-lossy', 'a part of what members send each other is lost', (fault) => ({
    loss: scaled(fault, 1, 0.02, 0.4),
  })),
  filtered('link-narrow', 'what members send each other is lost beyond a few KiB/s', (fault) => ({
    loss: 0,
    rateKiB: Math.round(scaled(fault, 1, 8, 128)),
  })),
  SLOW,
];
