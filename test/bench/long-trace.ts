/**
 * A long ftrace text made of recorded ones: repeated with shifted times and renamed PCI devices, so
 * that each repetition is a new stretch of a machine's life.
 */

import { createWriteStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import path from 'node:path';

const ROOT = findRoot(path.dirname(fileURLToPath(import.meta.url)));

function findRoot(from: string): string {
  return existsSync(path.join(from, 'package.json')) ? from : findRoot(path.dirname(from));
}

/** Event lines of a trace, its header left out. */
function eventLines(file: string): string[] {
  const bytes = readFileSync(file);
  const text = (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  return text.split('\n').filter((line) => /^.{16}-\d+ .*\[\d{3}\]/.test(line));
}

/** The recorded traces of one kernel: the bundled ones, and those beside the project when there. */
function recordedTraces(): string[] {
  const shared = path.join(ROOT, '..', 'shared', 'traces', '6.12');
  if (!existsSync(shared)) return [path.join(ROOT, 'events/samples/vfio-nonviable/trace.txt.gz')];
  return readdirSync(shared)
    .filter((name) => !['lost-events', 'boot-enum'].includes(name))
    .flatMap((name) => ['trace.txt', 'trace.txt.gz'].map((f) => path.join(shared, name, f)))
    .filter((file) => existsSync(file));
}

const TIME = / (\d+)\.(\d{6}): /;

/** Ids, names and pids of one repetition made different from those of every other. */
function renamed(line: string, repetition: number): string {
  const domain = `${(repetition % 0xffff).toString(16).padStart(4, '0')}:`;
  return line
    .replace(
      /^(.{16}-)(\d+)/,
      (_, comm: string, pid: string) => `${comm}${Number(pid) + repetition * 4096}`,
    )
    .replace(/\b0000:(?=[0-9a-f]{2}:[0-9a-f]{2}\.)/g, domain)
    .replace(/\b(dev|pdev)="(?![0-9a-f]{4}:[0-9a-f]{2}:)([^"]*)"/, `$1="$2-${repetition}"`)
    .replace(
      /\b(group=|groupID=|grp=|kobj=")(\d+)/g,
      (_, key: string, id: string) => `${key}${(Number(id) + repetition * 64) % 0x7fffffff}`,
    );
}

/** Writes `lines` lines to `file`. Returns the number of bytes. */
export async function writeLongTrace(file: string, lines: number): Promise<number> {
  const traces = recordedTraces().map(eventLines);
  const out = createWriteStream(file);
  let bytes = 0;
  let written = 0;
  let clock = 100;
  let repetition = 0;
  const put = async (text: string) => {
    bytes += Buffer.byteLength(text);
    if (!out.write(text)) await once(out, 'drain');
  };
  await put('# tracer: nop\n#\n');
  while (written < lines) {
    const trace = traces[repetition % traces.length];
    const first = Number(TIME.exec(trace[0])?.[1] ?? 0);
    let last = first;
    let block = '';
    for (const line of trace) {
      const time = TIME.exec(line);
      if (time === null) continue;
      last = Number(time[1]);
      const shifted = line.replace(
        TIME,
        ` ${String(last - first + clock).padStart(5)}.${time[2]}: `,
      );
      block += `${renamed(shifted, repetition)}\n`;
      if (++written >= lines) break;
      if (block.length > 1 << 20) {
        await put(block);
        block = '';
      }
    }
    await put(block);
    clock += last - first + 2;
    repetition++;
  }
  out.end();
  await once(out, 'finish');
  return bytes;
}
