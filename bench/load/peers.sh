#!/usr/bin/env bash
# Compares Hikyaku with Postfix and Haraka as a relay, on this machine, in one run: the same source (smtp-source -d), the
# same sink (smtp-sink), end to end until the sink has the last message. Postfix and Hikyaku have every message on disk
# before its 250; Haraka writes a file and does not sync it. Haraka comes from the package registry and is left out, with
# a word, where it cannot be installed.
#
# Everything lives in a directory of its own (configurations, queues, logs) and listens on 127.0.0.1 only; what this
# script starts it stops, also when it fails. Rounds alternate between the servers; the figures are medians.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: bench/load/peers.sh [options]

  --only LIST             measure only these, comma-separated, of postfix, haraka, hikyaku (default all)
  --sizes LIST            bytes of body, comma-separated (default 1024,10240,102400)
  --count N               messages per round and size (default 10000)
  --rounds N              rounds per size (default 3)
  --sessions N            connections of the source (default 40)
  --durability MODE       Hikyaku's durability (default flushed)
  --workers N             Hikyaku's worker threads (default: its own default)
  --dir DIR               where queues and logs live while it runs (default: a new directory in TMPDIR or /tmp)
  --markdown FILE         write the table to FILE too
  --write                 put the table into docs/benchmarks.md, between its marks
  --keep                  leave the directory behind
EOF
}

only="postfix,haraka,hikyaku" sizes="1024,10240,102400" count=10000 rounds=3 sessions=40 durability=flushed workers="" base=""
markdown="" keep="" write=""
while (($#)); do
  case "$1" in
    --only) only="$2"; shift ;;
    --sizes) sizes="$2"; shift ;;
    --count) count="$2"; shift ;;
    --rounds) rounds="$2"; shift ;;
    --sessions) sessions="$2"; shift ;;
    --durability) durability="$2"; shift ;;
    --workers) workers="$2"; shift ;;
    --dir) base="$2"; shift ;;
    --markdown) markdown="$2"; shift ;;
    --keep) keep=1 ;;
    --write) write=1 ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
IFS=, read -r -a servers <<<"$only"
for server in "${servers[@]}"; do
  case "$server" in postfix | haraka | hikyaku) ;; *) usage >&2; exit 2 ;; esac
done
wanted() { [[ ",$only," == *",$1,"* ]]; }

project="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
export PATH="$PATH:/usr/sbin:/sbin"

# ── what it needs ────────────────────────────────────────────────────────────────────────────────────────────────

if ! command -v smtp-source >/dev/null || ! command -v smtp-sink >/dev/null; then
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "peers: install Postfix first (its package has smtp-source and smtp-sink)" >&2
    exit 1
  fi
  echo "peers: installing Debian's postfix for its smtp-source and smtp-sink, and to compare with" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null
  apt-get install -y -qq --no-install-recommends postfix >/dev/null
fi
if wanted postfix && [[ $(id -u) != 0 ]]; then
  echo "peers: Postfix can only be started by root; use --only haraka,hikyaku" >&2
  exit 1
fi

dir="$(mktemp -d "${base:-${TMPDIR:-/tmp}}/hikyaku-peers.XXXXXX")"
chmod 755 "$dir"
sink_pid="" source_pid="" hikyaku_pid="" haraka_pid="" postfix_up=""

cleanup() {
  local status=$?
  trap - EXIT INT TERM
  for pid in $source_pid $sink_pid; do kill "$pid" 2>/dev/null || true; done
  [[ -z $hikyaku_pid ]] || stop_server "$hikyaku_pid"
  [[ -z $haraka_pid ]] || stop_server "$haraka_pid"
  [[ -z $postfix_up ]] || postfix -c "$dir/postfix" stop >/dev/null 2>&1 || postfix -c "$dir/postfix" abort >/dev/null 2>&1 || true
  if [[ $status != 0 ]]; then
    for log in "$dir/hikyaku.out" "$dir/haraka.out" "$dir/maillog"; do
      [[ ! -s $log ]] || { echo "── the end of $log" >&2; tail -n 15 "$log" >&2; }
    done
  fi
  if [[ -n $keep ]]; then echo "peers: kept $dir" >&2; else rm -rf "$dir"; fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

free_port() {
  node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'
}

wait_for_port() {
  for _ in $(seq 200); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 0; fi
    sleep 0.05
  done
  echo "peers: nothing listens on port $1" >&2
  return 1
}

# ── Postfix: a relay with its normal durable queue, tuned for throughput ─────────────────────────────────────────

start_postfix() {
  mkdir -p "$dir/postfix" "$dir/queue" "$dir/data"
  chown postfix "$dir/data"
  cat >"$dir/postfix/main.cf" <<EOF
compatibility_level = 3.6
queue_directory = $dir/queue
data_directory = $dir/data
maillog_file = $dir/maillog
maillog_file_prefixes = $dir
myhostname = postfix.invalid
mydestination =
local_recipient_maps =
alias_maps =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:$sink_port
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_event_limit_exceptions = 127.0.0.0/8
smtpd_tls_security_level = none
smtp_tls_security_level = none
default_process_limit = 200
initial_destination_concurrency = 20
qmgr_message_active_limit = 50000
qmgr_message_recipient_limit = 50000
smtp_connection_cache_on_demand = no
minimal_backoff_time = 2h
maximal_backoff_time = 4h
EOF
  cat >"$dir/postfix/master.cf" <<EOF
127.0.0.1:$postfix_port inet n - n - - smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
error     unix - - n - - error
retry     unix - - n - - error
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
EOF
  postfix_up=1
  postfix -c "$dir/postfix" start >"$dir/postfix.out" 2>&1 || { cat "$dir/postfix.out" >&2; return 1; }
  wait_for_port "$postfix_port"
}

# What the sink's end left behind: the one message whose reply it did not send any more.
rest_postfix() {
  postsuper -c "$dir/postfix" -d ALL >/dev/null 2>&1 || true
}

# ── Hikyaku: live mode, everything to the sink, otherwise its defaults ───────────────────────────────────────────

start_hikyaku() {
  cat >"$dir/shaping.toml" <<EOF
["default"]
prohibited_hosts = []
EOF
  {
    echo '[node]'
    echo 'hostname = "hikyaku.invalid"'
    echo 'data_dir = "var"'
    [[ -z $workers ]] || printf '[threads]\nworkers = %s\n' "$workers"
    cat <<EOF
[delivery]
mode = "live"
[spool]
durability = "$durability"
[[smtp_listener]]
listen = "127.0.0.1:0"
relay_hosts = ["127.0.0.0/8"]
[[http_listener]]
listen = "127.0.0.1:0"
[shaping]
files = ["shaping.toml"]
[[queue]]
retry_interval = "2h"
protocol = { smtp = { mx_list = ["127.0.0.1:$sink_port"] } }
EOF
  } >"$dir/hikyaku.toml"
  node "$project/bin/hikyaku.js" start --config "$dir/hikyaku.toml" --ready-file "$dir/ready.json" >"$dir/hikyaku.out" 2>&1 &
  hikyaku_pid=$!
  for _ in $(seq 400); do
    [[ ! -s $dir/ready.json ]] || break
    kill -0 "$hikyaku_pid" 2>/dev/null || { echo "peers: hikyaku did not start" >&2; return 1; }
    sleep 0.05
  done
  hikyaku_port="$(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).smtp[0].port' "$dir/ready.json")"
}

# ── Haraka: two processes, relaying to the sink, its own queue ───────────────────────────────────────────────────

# Installs it; says why not, and returns 1, where that cannot be done.
install_haraka() {
  mkdir -p "$dir/haraka/install"
  echo '{"private":true}' >"$dir/haraka/install/package.json"
  npm --prefix "$dir/haraka/install" install --ignore-scripts --no-audit --no-fund --loglevel=error Haraka@3 \
    >"$dir/haraka.out" 2>&1 && return 0
  echo "peers: Haraka cannot be installed here and is left out: $(tail -n 1 "$dir/haraka.out")" >&2
  return 1
}

start_haraka() {
  local home="$dir/haraka/home"
  mkdir -p "$home/config" "$home/queue"
  cp "$dir"/haraka/install/node_modules/Haraka/config/*.ini "$home/config/"
  echo haraka.invalid >"$home/config/me"
  echo relay >"$home/config/plugins"
  echo ERROR >"$home/config/loglevel"
  echo 127.0.0.0/8 >"$home/config/relay_acl_allow"
  printf '[relay]\nacl=true\nforce_routing=true\n' >"$home/config/relay.ini"
  printf '[any]\naction=continue\nnexthop=127.0.0.1:%s\n' "$sink_port" >"$home/config/relay_dest_domains.ini"
  printf '[domains]\nany={"action":"continue","nexthop":"127.0.0.1:%s"}\n' "$sink_port" >>"$home/config/relay_dest_domains.ini"
  printf 'enable_tls=false\nlocal_mx_ok=true\n' >"$home/config/outbound.ini"
  printf 'listen=127.0.0.1:%s\nnodes=2\n' "$haraka_port" >"$home/config/smtp.ini"
  node "$dir/haraka/install/node_modules/Haraka/bin/haraka" -c "$home" >"$dir/haraka.out" 2>&1 &
  haraka_pid=$!
  wait_for_port "$haraka_port"
}

# Ends a server that this script started.
stop_server() {
  kill "$1" 2>/dev/null || true
  for _ in $(seq 200); do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.05
  done
  kill -9 "$1" 2>/dev/null || true
}

# ── measuring ────────────────────────────────────────────────────────────────────────────────────────────────────

now_us() { local t=${EPOCHREALTIME/[.,]/}; echo "$t"; }

# Busy CPU of the whole machine and of one process (all its threads, and its first thread, the scheduler), in µs.
tick_us=$((1000000 / $(getconf CLK_TCK)))
machine_us() {
  local user nice system idle iowait irq softirq rest
  read -r _ user nice system idle iowait irq softirq rest </proc/stat
  echo $(((user + nice + system + irq + softirq) * tick_us))
}
process_us() {
  local stat
  stat="$(<"/proc/$1/stat")"
  read -r -a stat <<<"${stat##*) }"
  echo $(((stat[11] + stat[12]) * tick_us))
}
thread_us() {
  local ns rest
  read -r ns rest <"/proc/$1/task/$1/schedstat"
  echo $((ns / 1000))
}

# Run by root, smtp-sink wants to become somebody else.
sink_user=()
if [[ $(id -u) == 0 ]]; then sink_user=(-u nobody); fi

# One round: server, port, body bytes, messages → sets seconds (end to end), injected (s), and the CPU figures in µs.
round() {
  local server="$1" port="$2" size="$3" messages="$4"
  # smtp-sink ends by itself with the last message: nothing has to be polled, and its end is the time to measure.
  timeout 300 smtp-sink "${sink_user[@]}" -c -m 1000 -M "$messages" "127.0.0.1:$sink_port" 1024 >"$dir/sink.out" 2>&1 &
  sink_pid=$!
  wait_for_port "$sink_port"
  local machine process=0 thread=0 start end source_end
  machine=$(machine_us)
  if [[ $server == hikyaku ]]; then process=$(process_us "$hikyaku_pid"); thread=$(thread_us "$hikyaku_pid"); fi
  start=$(now_us)
  timeout 300 smtp-source -d -s "$sessions" -l "$size" -m "$messages" -f load@source.invalid -t load@example.com "127.0.0.1:$port" \
    >"$dir/source.out" 2>&1 &
  source_pid=$!
  wait "$source_pid" || { echo "peers: smtp-source failed: $(tail -n 3 "$dir/source.out")" >&2; return 1; }
  source_pid=""
  source_end=$(now_us)
  wait "$sink_pid" || { echo "peers: the sink got only $(tr '\r' '\n' <"$dir/sink.out" | tail -n 1)" >&2; return 1; }
  end=$(now_us)
  sink_pid=""
  machine=$(($(machine_us) - machine))
  if [[ $server == hikyaku ]]; then
    process=$(($(process_us "$hikyaku_pid") - process))
    thread=$(($(thread_us "$hikyaku_pid") - thread))
  fi
  result="$((messages * 1000000 / (end - start))) $((messages * 1000000 / (source_end - start))) $((machine / messages)) $((process / messages)) $((thread / messages))"
  if [[ $server == postfix ]]; then rest_postfix; fi
  sleep 0.5
}

median() { sort -n | awk '{ v[NR] = $1 } END { print NR == 0 ? "" : NR % 2 ? v[(NR + 1) / 2] : int((v[NR / 2] + v[NR / 2 + 1]) / 2) }'; }

# The median of column $2 of the rounds in file $1.
column() { [[ ! -s $1 ]] || awk -v c="$2" '{ print $c }' "$1" | median; }

sink_port="$(free_port)"
postfix_port="$(free_port)"
haraka_port="$(free_port)"
if wanted haraka && ! install_haraka; then
  mapfile -t servers < <(printf '%s\n' "${servers[@]}" | grep -v haraka)
fi
for server in "${servers[@]}"; do "start_$server"; done
port_of() { local name="$1_port"; echo "${!name}"; }

# Hot code has to be compiled first, in those that are compiled while they run.
for server in "${servers[@]}"; do round "$server" "$(port_of "$server")" 1024 $((count < 5000 ? count : 5000)); done

IFS=, read -r -a size_list <<<"$sizes"
for size in "${size_list[@]}"; do
  for ((n = 1; n <= rounds; n++)); do
    for server in "${servers[@]}"; do
      round "$server" "$(port_of "$server")" "$size" "$count"
      echo "$result" >>"$dir/$server.$size"
      read -r rate injected _ <<<"$result"
      echo "peers: $size bytes, round $n, $server: $rate msg/s end to end, $injected msg/s taken" >&2
    done
  done
done

# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────

ratio_to() {
  local mine="$1" other="$2"
  [[ -s $mine && -s $other ]] || return 0
  awk -v h="$(column "$mine" 1)" -v p="$(column "$other" 1)" 'BEGIN { printf "%.1f", h / p }'
}

table() {
  echo "\`bench/load/peers.sh\`: smtp-source -d -s $sessions, smtp-sink; medians of $rounds rounds of $count messages; end to end."
  echo "$(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(stat -f -c %T "$dir") file system, Node $(node -p process.versions.node)."
  echo "Postfix: its durable queue, tuned for relay. Haraka: two processes, its queue, which does not sync. Hikyaku:"
  echo "durability \`$durability\`, workers ${workers:-by default}. CPU is in µs per message: of Hikyaku's whole process, and of its scheduler thread."
  echo
  echo "| Body | Postfix msg/s | Haraka msg/s | Hikyaku msg/s | to Postfix | to Haraka | Hikyaku CPU | Scheduler CPU |"
  echo "|---|---|---|---|---|---|---|---|"
  local size
  for size in "${size_list[@]}"; do
    local p="$dir/postfix.$size" k="$dir/haraka.$size" h="$dir/hikyaku.$size"
    echo "| $size | $(column "$p" 1) | $(column "$k" 1) | $(column "$h" 1) | $(ratio_to "$h" "$p") | $(ratio_to "$h" "$k") | $(column "$h" 4) | $(column "$h" 5) |"
  done
}

table >"$dir/table.md"
cat "$dir/table.md"
[[ -z $markdown ]] || cp "$dir/table.md" "$markdown"
if [[ -n $write ]]; then
  awk -v table="$dir/table.md" '
    /<!-- peers: begin -->/ { print; print ""; while ((getline line < table) > 0) print line; print ""; skip = 1 }
    /<!-- peers: end -->/ { skip = 0 }
    !skip { if ($0 !~ /<!-- peers: begin -->/) print }
  ' "$project/docs/benchmarks.md" >"$dir/benchmarks.md"
  cp "$dir/benchmarks.md" "$project/docs/benchmarks.md"
fi
