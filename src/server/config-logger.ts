/** The logger that the configuration asks for; it writes to stderr, so that stdout stays free for results. */
import { type Logger, pino } from 'pino';
import type { ServerConfig } from './config.ts';

export type { Logger };

const LEVELS: Readonly<Record<number, string>> = {
  10: 'TRACE',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARN',
  50: 'ERROR',
  60: 'FATAL',
};

/** One pino record as text: time, level, message, then the other fields as key=value. */
export function prettyLine(record: string): string {
  const { level, time, msg, ...fields } = JSON.parse(record) as Record<string, unknown>;
  const rest = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const at = typeof time === 'number' ? new Date(time).toISOString().slice(11, 23) : '';
  return `${at} ${(LEVELS[Number(level)] ?? String(level)).padEnd(5)} ${String(msg ?? '')}${rest.length === 0 ? '' : `  ${rest.join(' ')}`}\n`;
}

export function createLogger(
  config: Pick<ServerConfig, 'memberId' | 'log'>,
  stderr: { write(text: string): unknown },
): Logger {
  const write =
    config.log.format === 'pretty'
      ? (record: string) => stderr.write(prettyLine(record))
      : (record: string) => stderr.write(record);
  return pino({ level: config.log.level, base: { member: config.memberId } }, { write });
}
