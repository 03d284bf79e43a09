/**
 * The suites, in the order in which they run.
 *
 * @typedef {object} Suite
 * @property {string} name
 * @property {readonly ('h2load' | 'root')[]} needs
 * @property {(quick: boolean) => readonly { id: string }[]} stages each is run as often as asked for, the systems in turn
 * @property {(stage: object, Kind: Function) => { members: number, flags?: readonly string[], machines?: boolean } | null} cluster
 *   what a stage needs; null: no members, and no peer
 * @property {'suite' | 'stage' | 'run'} lifetime how long a cluster lives
 * @property {(runs: number, quick: boolean) => number} [runs] where it is another number than was asked for
 * @property {(system: object, context: object) => Promise<unknown>} [prepare] once, for each cluster: warm-up
 * @property {(system: object, stage: object, context: object) => Promise<unknown>} [enter] before the runs of a stage
 * @property {(system: object, stage: object, context: object) => Promise<Record<string, number>>} measure
 *   one run: values by figure; the end of a figure's name says its unit (`../lib/figures.mjs`)
 * @property {(system: object) => Promise<void>} [finish] before the cluster goes
 */
import { amplification } from './amplification.mjs';
import { catchUp } from './catch-up.mjs';
import { clusterSize } from './cluster-size.mjs';
import { failover } from './failover.mjs';
import { growth } from './growth.mjs';
import { memory } from './memory.mjs';
import { micro } from './micro.mjs';
import { mixed } from './mixed.mjs';
import { phase } from './phase.mjs';
import { read } from './read.mjs';
import { restart } from './restart.mjs';
import { streamWrite } from './stream-write.mjs';
import { unaryWrite } from './unary-write.mjs';
import { watch } from './watch.mjs';

/** @type {readonly Suite[]} */
export const SUITES = [
  ...[unaryWrite, read, mixed, streamWrite, watch, phase, failover],
  ...[restart, catchUp, memory, amplification, growth, clusterSize, micro],
];
