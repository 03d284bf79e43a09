/** What a short piece of work costs this process, whatever others do meanwhile. */
import { getHeapStatistics } from 'node:v8';

export interface Cost {
  readonly cpuUs: number;
  /** Allocated by JavaScript, array buffers included. */
  readonly bytes: number;
  /** Something was collected meanwhile: `bytes` says nothing. */
  readonly collected: boolean;
}

function heapBytes(): number {
  return getHeapStatistics().used_heap_size + process.memoryUsage().arrayBuffers;
}

export async function measure(work: () => Promise<unknown>): Promise<Cost> {
  const heapBefore = heapBytes();
  const cpuBefore = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(cpuBefore);
  const bytes = heapBytes() - heapBefore;
  return { cpuUs: user + system, bytes, collected: bytes < 0 };
}

export function charge(cost: Cost, more: Cost): Cost {
  return {
    cpuUs: cost.cpuUs + more.cpuUs,
    bytes: cost.bytes + more.bytes,
    collected: cost.collected || more.collected,
  };
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((x, y) => x - y);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}
