# Drawn by forksim plot; run `gnuplot cdf-fork_to_run-run_delay.gp` in this folder to draw it again.
set terminal svg size 1000,560 font "DejaVu Sans,13" background "white" noenhanced name "cdf_fork_to_run_run_delay"
set output "cdf-fork_to_run-run_delay.svg"
set title "fork_storm on bcm2711, kernel rpi-4.19-arm64, seed 1 (samples in brackets)"
set xlabel "latency (us, logarithmic)"
set ylabel "share of samples that took at most this long (%)"
set logscale x
set xrange [0.000625:267329.2992]
set yrange [0:102]
set ytics 0,10,100
set format x "%.10g"
set mxtics 10
set grid xtics mxtics ytics lt 1 lw 1 lc rgb "#c8c8c8", lt 1 lw 1 lc rgb "#ebebeb"
set border 3
set tics nomirror
set key outside right top vertical Left reverse samplen 2 spacing 1.2
plot "cdf-fork_to_run-run_delay.dat" index 0 using 1:2 with steps lw 2 dt 1 lc rgb "#0072b2" title "fork_to_run (201)", \
     "cdf-fork_to_run-run_delay.dat" index 1 every ::0::0 using 1:2 with points pt 7 ps 1.2 lc rgb "#0072b2" notitle, \
     "cdf-fork_to_run-run_delay.dat" index 1 every ::1::1 using 1:2 with points pt 9 ps 1.2 lc rgb "#0072b2" notitle, \
     "cdf-fork_to_run-run_delay.dat" index 1 every ::2::2 using 1:2 with points pt 5 ps 1.2 lc rgb "#0072b2" notitle, \
     "cdf-fork_to_run-run_delay.dat" index 1 every ::3::3 using 1:2 with points pt 13 ps 1.2 lc rgb "#0072b2" notitle, \
     "cdf-fork_to_run-run_delay.dat" index 2 using 1:2 with steps lw 2 dt 1 lc rgb "#d55e00" title "run_delay (835)", \
     "cdf-fork_to_run-run_delay.dat" index 3 every ::0::0 using 1:2 with points pt 7 ps 1.2 lc rgb "#d55e00" notitle, \
     "cdf-fork_to_run-run_delay.dat" index 3 every ::1::1 using 1:2 with points pt 9 ps 1.2 lc rgb "#d55e00" notitle, \
     "cdf-fork_to_run-run_delay.dat" index 3 every ::2::2 using 1:2 with points pt 5 ps 1.2 lc rgb "#d55e00" notitle, \
     "cdf-fork_to_run-run_delay.dat" index 3 every ::3::3 using 1:2 with points pt 13 ps 1.2 lc rgb "#d55e00" notitle, \
     keyentry with points pt 7 ps 1.2 lc rgb "#404040" title "p50", \
     keyentry with points pt 9 ps 1.2 lc rgb "#404040" title "p90", \
     keyentry with points pt 5 ps 1.2 lc rgb "#404040" title "p99", \
     keyentry with points pt 13 ps 1.2 lc rgb "#404040" title "p99.9"
unset output
set terminal pngcairo size 1000,560 font "DejaVu Sans,13" background "white" noenhanced
set output "cdf-fork_to_run-run_delay.png"
replot
unset output
